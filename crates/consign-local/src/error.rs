//! One error for five services: the code and message a client sees, in the shape its protocol wants.
//!
//! S3 answers in XML of its own, IAM and STS in the Query protocol's XML, KMS and SQS in
//! JSON. The services
//! build an [`ApiError`] and never think about the shape; [`ApiError::respond`] does. What must not
//! reach the client (why a policy decided as it did, which file could not be read) goes to
//! [`ApiError::because`] and from there to the log.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

use crate::call::Service;

/// What a response body is made of: boxed, so that small answers and streamed objects look alike.
pub type ResponseBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer that is an error, as the AWS service would word it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The service's own code, such as `NoSuchKey` or `AccessDeniedException`.
    pub code: String,
    /// The public sentence.
    pub message: String,
    /// Rarely more; boxed, because errors travel through every function here.
    extra: Box<Extra>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Extra {
    /// S3's `<Resource>`.
    resource: Option<String>,
    /// Further elements of S3's error document.
    details: Vec<(&'static str, String)>,
    /// Further response headers.
    headers: Vec<(&'static str, String)>,
    /// For the log only: never sent.
    reason: Option<String>,
}

impl ApiError {
    /// An error with a status, code and public sentence.
    pub fn new(
        status: StatusCode,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError { status, code: code.into(), message: message.into(), extra: Box::default() }
    }

    /// 400 with a code and sentence.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 403 with a code and sentence.
    pub fn forbidden(code: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, code, message)
    }

    /// S3's plain 403 `AccessDenied`.
    pub fn access_denied() -> ApiError {
        ApiError::forbidden("AccessDenied", "Access Denied")
    }

    /// 501: the request is understood and not offered here.
    pub fn not_implemented(what: &str) -> ApiError {
        let message = format!("{what} is not implemented by this local cloud");
        ApiError::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// 500: something failed here; the cause is for the log alone.
    pub fn internal(cause: impl std::fmt::Display) -> ApiError {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "We encountered an internal error. Please try again.",
        )
        .because(cause.to_string())
    }

    /// Names what the error is about.
    pub fn about(mut self, resource: impl Into<String>) -> ApiError {
        self.extra.resource = Some(resource.into());
        self
    }

    /// Adds an element to S3's error document.
    pub fn with(mut self, element: &'static str, value: impl Into<String>) -> ApiError {
        self.extra.details.push((element, value.into()));
        self
    }

    /// Adds a response header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> ApiError {
        self.extra.headers.push((name, value.into()));
        self
    }

    /// Notes why, for the log only.
    pub fn because(mut self, reason: impl Into<String>) -> ApiError {
        self.extra.reason = Some(reason.into());
        self
    }

    /// Why, as noted for the log.
    pub fn reason(&self) -> Option<&str> {
        self.extra.reason.as_deref()
    }

    /// The error as a response of `service`. A HEAD request and a 304 get no body.
    pub fn respond(
        &self,
        service: Service,
        request_id: &str,
        head: bool,
    ) -> Response<ResponseBody> {
        let (content_type, text) = match service {
            Service::S3 => ("application/xml", self.s3_xml(request_id)),
            Service::Iam | Service::Sts => ("text/xml", self.query_xml(service, request_id)),
            Service::Kms => ("application/x-amz-json-1.1", self.json("")),
            Service::Sqs => ("application/x-amz-json-1.0", self.json("com.amazonaws.sqs#")),
        };
        let bare = head || self.status == StatusCode::NOT_MODIFIED;
        let mut response = Response::new(full(if bare { String::new() } else { text }));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !bare {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if service == Service::Kms
            && let Ok(value) = HeaderValue::from_str(&self.code)
        {
            headers.insert("x-amzn-errortype", value);
        }
        for (name, value) in &self.extra.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(*name, value);
            }
        }
        response
    }

    fn s3_xml(&self, request_id: &str) -> String {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
        element(&mut xml, "Code", &self.code);
        element(&mut xml, "Message", &self.message);
        for (name, value) in &self.extra.details {
            element(&mut xml, name, value);
        }
        if let Some(resource) = &self.extra.resource {
            element(&mut xml, "Resource", resource);
        }
        element(&mut xml, "RequestId", request_id);
        element(&mut xml, "HostId", "consign-local");
        xml.push_str("</Error>");
        xml
    }

    fn query_xml(&self, service: Service, request_id: &str) -> String {
        let namespace = match service {
            Service::Sts => crate::sts::NAMESPACE,
            _ => crate::iam::NAMESPACE,
        };
        let mut xml = format!("<ErrorResponse xmlns=\"{namespace}\"><Error>");
        let fault = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        element(&mut xml, "Type", fault);
        element(&mut xml, "Code", &self.code);
        element(&mut xml, "Message", &self.message);
        xml.push_str("</Error>");
        element(&mut xml, "RequestId", request_id);
        xml.push_str("</ErrorResponse>");
        xml
    }

    fn json(&self, namespace: &str) -> String {
        let code = format!("{namespace}{}", self.code);
        serde_json::json!({ "__type": code, "message": self.message }).to_string()
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

/// Appends `<name>text</name>`, escaped. Characters that XML 1.0 cannot hold become U+FFFD.
pub fn element(xml: &mut String, name: &str, text: &str) {
    xml.push('<');
    xml.push_str(name);
    xml.push('>');
    escape(xml, text);
    xml.push_str("</");
    xml.push_str(name);
    xml.push('>');
}

/// Appends `text` with the five XML characters escaped.
pub fn escape(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            '\r' => xml.push_str("&#13;"),
            '\t' | '\n' => xml.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
}
