//! TLS under a certificate authority of the root's own.
//!
//! `ROOT/ca.pem` is what clients trust (`AWS_CA_BUNDLE`); its key, `ROOT/ca.key` (0600), is made once
//! and kept, so that a client's trust survives restarts. The server's certificate is made anew at
//! each start and its key never leaves memory. The authority may sign for loopback names only: should
//! somebody add it to a system's trust store, a stolen `ca.key` still speaks for nobody else.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::serve::{Error, ErrorKind};
use crate::vault::write_private;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_DAYS: u32 = 3650;
/// Some clients refuse server certificates with a longer life.
const SERVER_DAYS: u32 = 397;

/// The server's side of TLS (1.2 and up), under the authority of `root`, which is made if absent.
pub fn server_config(root: &Path) -> Result<Arc<ServerConfig>, Error> {
    let authority = authority(root)?;
    let key = KeyPair::generate().map_err(tls("the server's key cannot be made"))?;
    let certificate = server_params()
        .and_then(|params| params.signed_by(&key, &authority))
        .map_err(tls("the server's certificate cannot be made"))?;
    let key_der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(vec![certificate.into()], key_der))
        .map_err(tls("TLS cannot be set up"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn authority(root: &Path) -> Result<Issuer<'static, KeyPair>, Error> {
    let (key_path, certificate_path) = (root.join("ca.key"), root.join("ca.pem"));
    let params = authority_params().map_err(tls("the certificate authority's terms"))?;
    let key = match std::fs::read_to_string(&key_path).map(Zeroizing::new) {
        Ok(pem) => {
            let why = format!("{} is not a private key", key_path.display());
            KeyPair::from_pem(&pem).map_err(tls(&why))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(tls("the authority's key cannot be made"))?;
            let pem = Zeroizing::new(key.serialize_pem());
            write_private(&key_path, pem.as_bytes()).map_err(storage(&key_path))?;
            key
        }
        Err(error) => return Err(storage(&key_path)(error)),
    };
    if !certificate_path.exists() {
        let certificate =
            params.self_signed(&key).map_err(tls("the authority's certificate cannot be made"))?;
        write_private(&certificate_path, certificate.pem().as_bytes())
            .map_err(storage(&certificate_path))?;
    }
    Ok(Issuer::new(params, key))
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name("consign local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(
                std::net::Ipv6Addr::LOCALHOST.octets(),
                128,
            )),
        ],
        excluded_subtrees: Vec::new(),
    });
    last(&mut params, AUTHORITY_DAYS);
    Ok(params)
}

fn server_params() -> Result<CertificateParams, rcgen::Error> {
    let names = ["localhost", "*.localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = name("consign local");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    last(&mut params, SERVER_DAYS);
    Ok(params)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

/// Certificates are judged by the clients' clocks, so this is the computer's time, whatever clock
/// the services are given; a day's slack for clocks behind ours.
fn last(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * days).into();
}

fn tls<E: std::error::Error + Send + Sync + 'static>(context: &str) -> impl FnOnce(E) -> Error {
    let context = context.to_owned();
    move |error| Error::new(ErrorKind::Storage, context).caused(error)
}

fn storage(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let context = path.display().to_string();
    move |error| Error::new(ErrorKind::Storage, context).caused(error)
}
