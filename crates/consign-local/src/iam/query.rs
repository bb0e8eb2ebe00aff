//! The Query protocol of IAM and STS: a form goes in, XML comes out.

use std::collections::BTreeMap;

use http::{HeaderValue, Response, header};

use crate::call::Call;
use crate::error::{ApiError, ResponseBody, element, full};
use crate::gate::uri::decode_query;

/// The parameters of one call.
pub struct Form {
    fields: BTreeMap<String, String>,
}

impl Form {
    /// Reads the form from the body of a POST, or from the query of a GET.
    pub fn read(call: &Call, body: &[u8]) -> Result<Form, ApiError> {
        let mut fields: BTreeMap<String, String> = call.query.iter().cloned().collect();
        let text = std::str::from_utf8(body).map_err(|_| malformed())?;
        for (name, value) in decode_query(text).map_err(|_| malformed())? {
            if fields.insert(name, value).is_some() {
                return Err(malformed());
            }
        }
        Ok(Form { fields })
    }

    /// The operation.
    pub fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            let message = format!("The request must contain the parameter {name}");
            ApiError::bad_request("MissingParameter", message)
        })
    }

    /// `PREFIX.1`, `PREFIX.2`, …
    pub fn list(&self, prefix: &str) -> Vec<String> {
        (1..)
            .map_while(|number| self.get(&format!("{prefix}.{number}")))
            .map(str::to_owned)
            .collect()
    }

    /// `PREFIX.1.KEY` with `PREFIX.1.VALUE`, …
    pub fn pairs(&self, prefix: &str, key: &str, value: &str) -> Vec<(String, String)> {
        (1..)
            .map_while(|number| {
                let name = self.get(&format!("{prefix}.{number}.{key}"))?;
                let text = self.get(&format!("{prefix}.{number}.{value}")).unwrap_or_default();
                Some((name.to_owned(), text.to_owned()))
            })
            .collect()
    }
}

/// `<ActionResponse>` around `<ActionResult>` and the request id.
pub fn respond(
    namespace: &str,
    action: &str,
    result: Option<&str>,
    request_id: &str,
) -> Response<ResponseBody> {
    let mut xml = format!("<{action}Response xmlns=\"{namespace}\">");
    if let Some(result) = result {
        xml.push_str(&format!("<{action}Result>{result}</{action}Result>"));
    }
    xml.push_str("<ResponseMetadata>");
    element(&mut xml, "RequestId", request_id);
    xml.push_str(&format!("</ResponseMetadata></{action}Response>"));
    let mut response = Response::new(full(xml));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}

/// The answer to an operation that is not there.
pub fn unknown_action(action: &str) -> ApiError {
    let action: String = action.chars().take(64).collect();
    let message = format!("Could not find operation {action} for this local cloud");
    ApiError::bad_request("InvalidAction", message)
}

fn malformed() -> ApiError {
    ApiError::bad_request("MalformedInput", "The form cannot be read, or names a field twice.")
}
