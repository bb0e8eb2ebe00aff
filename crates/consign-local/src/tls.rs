//! TLS under a certificate authority of the root's own.
//!
//! `ROOT/ca.pem` is what clients trust (`AWS_CA_BUNDLE`); its key, `ROOT/ca.key` (0600), is made once
//! and kept, so that a client's trust survives restarts. The server's certificate is made anew at
//! each start and its key never leaves memory. The authority may sign for loopback names only: should
//! somebody add it to a system's trust store, a stolen `ca.key` still speaks for nobody else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::serve::{Error, ErrorKind};
use crate::vault::write_private;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_DAYS: u32 = 3650;
/// Some clients refuse server certificates with a longer life.
const SERVER_DAYS: u32 = 397;
/// Certificates kept for names below `localhost`; making one again costs less than a millisecond.
const NAMES_MAX: usize = 256;

/// The server's side of TLS (1.2 and up), under the authority of `root`, which is made if absent.
pub fn server_config(root: &Path) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = Certificates::new(authority(root)?, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(tls("TLS cannot be set up"))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The server's certificates: one for loopback itself, and one per name below `localhost` that a
/// client asks for (`BUCKET.localhost`). A wildcard would do, but some TLS libraries refuse wildcards
/// below a name constraint, which is worth more.
struct Certificates {
    authority: Issuer<'static, KeyPair>,
    key: KeyPair,
    signing_key: Arc<dyn SigningKey>,
    plain: Arc<CertifiedKey>,
    named: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
}

impl Certificates {
    fn new(
        authority: Issuer<'static, KeyPair>,
        provider: &CryptoProvider,
    ) -> Result<Certificates, Error> {
        let key = KeyPair::generate().map_err(tls("the server's key cannot be made"))?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let loaded = provider.key_provider.load_private_key(der);
        let signing_key = loaded.map_err(tls("the server's key cannot be used"))?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let plain = issue(&authority, &key, &signing_key, &names)
            .map_err(tls("the server's certificate cannot be made"))?;
        Ok(Certificates { authority, key, signing_key, plain, named: Mutex::default() })
    }

    fn named(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = named.get(name) {
            return Some(known.clone());
        }
        let made = issue(&self.authority, &self.key, &self.signing_key, &[name.to_owned()]).ok()?;
        if named.len() >= NAMES_MAX {
            named.clear();
        }
        named.insert(name.to_owned(), made.clone());
        Some(made)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name().filter(|name| name.ends_with(".localhost")) {
            Some(name) => self.named(name),
            None => Some(self.plain.clone()),
        }
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates(..)")
    }
}

fn issue(
    authority: &Issuer<'static, KeyPair>,
    key: &KeyPair,
    signing_key: &Arc<dyn SigningKey>,
    names: &[String],
) -> Result<Arc<CertifiedKey>, rcgen::Error> {
    let certificate = server_params(names)?.signed_by(key, authority)?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.into()], signing_key.clone())))
}

fn authority(root: &Path) -> Result<Issuer<'static, KeyPair>, Error> {
    let (key_path, certificate_path) = (root.join("ca.key"), root.join("ca.pem"));
    let params = authority_params().map_err(tls("the certificate authority's terms"))?;
    let mut certificate_fits = certificate_path.exists();
    let key = match std::fs::read_to_string(&key_path).map(Zeroizing::new) {
        Ok(pem) => {
            let why = format!("{} is not a private key", key_path.display());
            KeyPair::from_pem(&pem).map_err(tls(&why))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(tls("the authority's key cannot be made"))?;
            let pem = Zeroizing::new(key.serialize_pem());
            write_private(&key_path, pem.as_bytes()).map_err(storage(&key_path))?;
            certificate_fits = false;
            key
        }
        Err(error) => return Err(storage(&key_path)(error)),
    };
    if !certificate_fits {
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

fn server_params(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
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
