//! The operations that use a key: Encrypt, Decrypt, GenerateDataKey, ReEncrypt.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::cipher::{Blob, EncryptionContext, check_context, encrypt};
use super::fault::Fault;
use super::permit::{NamedKey, Via, add_context, caller_account, fact, find_key};
use crate::call::Call;
use crate::state::State;

/// KMS encrypts keys and small secrets, not files.
const PLAIN_BYTES_MAX: usize = 4096;
const BLOB_BYTES_MAX: usize = 6144;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EncryptInput {
    key_id: String,
    #[serde(with = "crate::vault::wiped")]
    plaintext: Zeroizing<String>,
    #[serde(default)]
    encryption_context: EncryptionContext,
    encryption_algorithm: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn encrypt_call(
    state: &State,
    call: &Call,
    input: &EncryptInput,
) -> Result<Value, Fault> {
    check_algorithm(input.encryption_algorithm.as_deref())?;
    check_context(&input.encryption_context)?;
    let plain = Zeroizing::new(from_base64(&input.plaintext)?);
    if plain.is_empty() || plain.len() > PLAIN_BYTES_MAX {
        return Err(too_long("plaintext", PLAIN_BYTES_MAX));
    }
    let key = find_key(state, call, &input.key_id)?;
    key.authorize(state, call, "Encrypt", Via::Direct, Some(&input.encryption_context))?;
    key.check_usable()?;
    check_dry_run(input.dry_run)?;
    let blob = encrypt(&state.vault, &key.key, &input.encryption_context, &plain)?;
    Ok(json!({
        "CiphertextBlob": STANDARD.encode(blob),
        "KeyId": key.key.arn(),
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DecryptInput {
    ciphertext_blob: String,
    key_id: Option<String>,
    #[serde(default)]
    encryption_context: EncryptionContext,
    encryption_algorithm: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn decrypt_call(
    state: &State,
    call: &Call,
    input: &DecryptInput,
) -> Result<Value, Fault> {
    check_algorithm(input.encryption_algorithm.as_deref())?;
    let blob = blob_bytes(&input.ciphertext_blob)?;
    let named = input.key_id.as_deref();
    let (key, plain) = open(state, call, &blob, named, &input.encryption_context, Via::Direct)?;
    check_dry_run(input.dry_run)?;
    Ok(json!({
        "Plaintext": STANDARD.encode(&plain),
        "KeyId": key.key.arn(),
        "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "KeyMaterialId": material_id(&key, &blob),
    }))
}

/// Opens a blob after asking for `kms:Decrypt`. `named` is the key that the caller expects.
pub(super) fn open(
    state: &State,
    call: &Call,
    bytes: &[u8],
    named: Option<&str>,
    context: &EncryptionContext,
    via: Via,
) -> Result<(NamedKey, Zeroizing<Vec<u8>>), Fault> {
    caller_account(call)?;
    check_context(context)?;
    let blob = Blob::read(bytes)?;
    let key = key_of(state, call, &blob, named)?;
    key.authorize(state, call, "Decrypt", via, Some(context))?;
    key.check_usable()?;
    let plain = blob.open(&state.vault, &key.key, context)?;
    Ok((key, plain))
}

fn key_of(
    state: &State,
    call: &Call,
    blob: &Blob<'_>,
    named: Option<&str>,
) -> Result<NamedKey, Fault> {
    let maker = blob.key(&state.keys, call.now_ms)?;
    let Some(named) = named else { return Ok(NamedKey { key: maker, by_alias: None }) };
    let key = find_key(state, call, named)?;
    match key.key.id == maker.id {
        true => Ok(key),
        false => Err(Fault::IncorrectKey),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DataKeyInput {
    key_id: String,
    #[serde(default)]
    encryption_context: EncryptionContext,
    key_spec: Option<String>,
    number_of_bytes: Option<usize>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn generate_data_key(
    state: &State,
    call: &Call,
    input: &DataKeyInput,
    with_plaintext: bool,
) -> Result<Value, Fault> {
    check_context(&input.encryption_context)?;
    let bytes = match (input.key_spec.as_deref(), input.number_of_bytes) {
        (Some("AES_256"), None) => 32,
        (Some("AES_128"), None) => 16,
        (None, Some(bytes @ 1..=1024)) => bytes,
        _ => {
            let why = "Please specify either number of bytes or key spec.";
            return Err(Fault::Validation(why.to_owned()));
        }
    };
    let operation =
        if with_plaintext { "GenerateDataKey" } else { "GenerateDataKeyWithoutPlaintext" };
    let key = find_key(state, call, &input.key_id)?;
    key.authorize(state, call, operation, Via::Direct, Some(&input.encryption_context))?;
    key.check_usable()?;
    check_dry_run(input.dry_run)?;
    let mut plain = Zeroizing::new(vec![0u8; bytes]);
    crate::vault::fill(&mut plain);
    let blob = encrypt(&state.vault, &key.key, &input.encryption_context, &plain)?;
    let mut answer = json!({
        "CiphertextBlob": STANDARD.encode(&blob),
        "KeyId": key.key.arn(),
        "KeyMaterialId": material_id(&key, &blob),
    });
    if with_plaintext && let Some(fields) = answer.as_object_mut() {
        fields.insert("Plaintext".to_owned(), Value::String(STANDARD.encode(&plain)));
    }
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReEncryptInput {
    ciphertext_blob: String,
    source_key_id: Option<String>,
    #[serde(default)]
    source_encryption_context: EncryptionContext,
    source_encryption_algorithm: Option<String>,
    destination_key_id: String,
    #[serde(default)]
    destination_encryption_context: EncryptionContext,
    destination_encryption_algorithm: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn re_encrypt(
    state: &State,
    call: &Call,
    input: &ReEncryptInput,
) -> Result<Value, Fault> {
    check_algorithm(input.source_encryption_algorithm.as_deref())?;
    check_algorithm(input.destination_encryption_algorithm.as_deref())?;
    let (from_context, to_context) =
        (&input.source_encryption_context, &input.destination_encryption_context);
    check_context(from_context)?;
    check_context(to_context)?;
    let bytes = blob_bytes(&input.ciphertext_blob)?;
    let blob = Blob::read(&bytes)?;
    let from = key_of(state, call, &blob, input.source_key_id.as_deref())?;
    let to = find_key(state, call, &input.destination_key_id)?;
    let same = fact("kms:ReEncryptOnSameKey", (from.key.id == to.key.id).to_string());
    for (key, operation, context) in
        [(&from, "ReEncryptFrom", from_context), (&to, "ReEncryptTo", to_context)]
    {
        let mut facts = key.facts(state);
        add_context(&mut facts, Some(context));
        facts.push(same.clone());
        key.authorize_with(state, call, operation, Via::Direct, &facts)?;
        key.check_usable()?;
    }
    let plain = blob.open(&state.vault, &from.key, from_context)?;
    check_dry_run(input.dry_run)?;
    let again = encrypt(&state.vault, &to.key, to_context, &plain)?;
    Ok(json!({
        "CiphertextBlob": STANDARD.encode(again),
        "SourceKeyId": from.key.arn(),
        "KeyId": to.key.arn(),
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
    }))
}

/// A stable name for the generation of key material behind a blob.
fn material_id(key: &NamedKey, blob: &[u8]) -> String {
    let generation = blob.get(17..19).unwrap_or_default();
    let text = [key.key.id.as_bytes(), generation].concat();
    crate::gate::signature::sha256_hex(&text)
}

fn blob_bytes(text: &str) -> Result<Vec<u8>, Fault> {
    let bytes = from_base64(text)?;
    match (1..=BLOB_BYTES_MAX).contains(&bytes.len()) {
        true => Ok(bytes),
        false => Err(too_long("ciphertextBlob", BLOB_BYTES_MAX)),
    }
}

fn from_base64(text: &str) -> Result<Vec<u8>, Fault> {
    STANDARD.decode(text).map_err(|_| Fault::Validation("A blob is not base 64.".to_owned()))
}

fn too_long(what: &str, bytes_max: usize) -> Fault {
    Fault::Validation(format!(
        "1 validation error detected: Value at '{what}' failed to satisfy constraint: Member must \
         have length between 1 and {bytes_max}"
    ))
}

fn check_algorithm(algorithm: Option<&str>) -> Result<(), Fault> {
    match algorithm {
        None | Some("SYMMETRIC_DEFAULT") => Ok(()),
        Some(other) => Err(Fault::Unsupported(format!("{other} does not fit a symmetric key."))),
    }
}

fn check_dry_run(dry_run: bool) -> Result<(), Fault> {
    match dry_run {
        false => Ok(()),
        true => Err(Fault::Worded(Box::new(crate::error::ApiError::bad_request(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        )))),
    }
}
