//! OpenPGP keys from where people keep them: files, Systems Manager and Secrets Manager (moto, filled
//! by boto3), and an HTTPS server whose key must be the pinned one.

use std::path::PathBuf;

use consign::{ErrorKind, KeySource};
use consign_cloud::{Cloud, Credentials, Settings};
use consign_seal::openpgp::{KeyKind, SecretKey};
use consign_testkit::judges;
use consign_testkit::key_server::KeyServer;
use consign_testkit::moto::Moto;

const FILL: &str = r#"
import boto3, sys
endpoint, public, secret = sys.argv[1:4]
def client(name):
    return boto3.client(name, endpoint_url=endpoint, region_name="eu-west-1",
                        aws_access_key_id="id", aws_secret_access_key="secret")
ssm, manager = client("ssm"), client("secretsmanager")
ssm.put_parameter(Name="/keys/public", Value=open(public).read(), Type="String", Tier="Advanced")
ssm.put_parameter(Name="/keys/secret", Value=open(secret).read(), Type="SecureString")
ssm.put_parameter(Name="/keys/none", Value="hello", Type="String")
manager.create_secret(Name="keys/secret", SecretString=open(secret).read())
manager.create_secret(Name="keys/binary", SecretBinary=open(secret, "rb").read())
"#;

fn now() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

struct Material {
    folder: tempfile::TempDir,
    key: SecretKey,
    other: SecretKey,
}

impl Material {
    fn new() -> Material {
        let made = |name| SecretKey::generate(KeyKind::Curve25519, name, now()).unwrap();
        let (key, other) = (made("acme"), made("globex"));
        let folder = tempfile::tempdir().unwrap();
        let both = [&key, &other].map(|key| key.certificate().to_armored().unwrap()).concat();
        std::fs::write(folder.path().join("public"), both).unwrap();
        std::fs::write(folder.path().join("secret"), key.to_armored(None).unwrap().as_bytes())
            .unwrap();
        Material { folder, key, other }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

async fn cloud(endpoint: Option<String>, ca_bundle: Option<PathBuf>) -> Cloud {
    let settings = Settings {
        endpoint,
        region: Some("eu-west-1".to_owned()),
        ca_bundle,
        explicit_credentials: Some(Credentials::new("id", "secret", None)),
        ..Settings::default()
    };
    Cloud::connect(&settings).await.unwrap()
}

async fn certificates(text: &str, cloud: Option<&Cloud>) -> Result<Vec<String>, consign::Error> {
    let found = KeySource::parse(text)?.certificates(cloud).await?;
    Ok(found.iter().map(consign_seal::openpgp::Certificate::fingerprint).collect())
}

#[tokio::test]
async fn files_give_all_or_the_pinned_key() {
    let material = Material::new();
    let (one, two) = (material.key.fingerprint(), material.other.fingerprint());
    let public = material.text("public");
    assert_eq!(certificates(&public, None).await.unwrap(), [one.clone(), two.clone()]);
    assert_eq!(
        certificates(&format!("{public}#{two}"), None).await.unwrap(),
        std::slice::from_ref(&two)
    );
    let missing = format!("{public}#{}", "0".repeat(40));
    assert_eq!(certificates(&missing, None).await.unwrap_err().kind(), ErrorKind::Configuration);
    assert!(certificates(&material.text("absent"), None).await.is_err());
    assert!(certificates(&material.text("secret"), None).await.is_err(), "a secret key");
    let source = KeySource::parse(&format!("{}#{one}", material.text("secret"))).unwrap();
    assert_eq!(source.secret_keys(None).await.unwrap()[0].fingerprint(), one);
    let source = KeySource::parse(&format!("{}#{two}", material.text("secret"))).unwrap();
    assert!(source.secret_keys(None).await.is_err());
}

#[tokio::test]
async fn parameters_and_secrets_give_keys() {
    let server = consign_testkit::require!("moto_server");
    let python = consign_testkit::require!("python");
    let material = Material::new();
    let moto = Moto::start(&server, "123456789012");
    let endpoint = moto.endpoint.clone();
    let mut fill = judges::command(&python);
    fill.args(["-c", FILL, &endpoint, &material.text("public"), &material.text("secret")]);
    let output = fill.output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let cloud = cloud(Some(endpoint), None).await;
    let (one, two) = (material.key.fingerprint(), material.other.fingerprint());
    let found = certificates("ssm:/keys/public", Some(&cloud)).await.unwrap();
    assert_eq!(found, [one.clone(), two.clone()]);
    let found = certificates(&format!("ssm:/keys/public#{two}"), Some(&cloud)).await.unwrap();
    assert_eq!(found, [two]);
    for source in ["ssm:/keys/secret", "secretsmanager:keys/secret", "secretsmanager:keys/binary"] {
        let keys = KeySource::parse(source).unwrap().secret_keys(Some(&cloud)).await;
        assert_eq!(keys.unwrap()[0].fingerprint(), one, "{source}");
    }
    for (source, kind) in [
        ("ssm:/keys/absent", ErrorKind::NotFound),
        ("secretsmanager:absent", ErrorKind::NotFound),
        ("ssm:/keys/none", ErrorKind::Configuration),
    ] {
        let error = certificates(source, Some(&cloud)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{source}: {error}");
    }
    let error = certificates("ssm:/keys/secret", Some(&cloud)).await.unwrap_err();
    let words = format!("{error} {error:?}");
    assert!(words.contains("secret key") && !words.contains("PRIVATE"), "{words}");
}

#[tokio::test]
async fn addresses_give_the_pinned_key_and_nothing_else() {
    let python = consign_testkit::require!("python3");
    let openssl = consign_testkit::require!("openssl");
    let material = Material::new();
    let server =
        KeyServer::start(&python, &openssl, material.folder.path(), &material.path("public"));
    let origin = &server.origin;

    let trusting = cloud(None, Some(server.certificate.clone())).await;
    let two = material.other.fingerprint();
    let get = async |path: &str, pin: &str| {
        certificates(&format!("{origin}{path}#{pin}"), Some(&trusting)).await
    };
    assert_eq!(get("/keys", &two).await.unwrap(), std::slice::from_ref(&two));
    assert_eq!(get("/near", &two).await.unwrap(), std::slice::from_ref(&two));
    let wrong = get("/keys", &"A".repeat(40)).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Configuration);
    assert_eq!(get("/absent", &two).await.unwrap_err().kind(), ErrorKind::NotFound);
    for (path, word) in [
        ("/far", "another host"),
        ("/plain", "another host"),
        ("/round", "too many times"),
        ("/endless", "larger than"),
    ] {
        let error = get(path, &two).await.unwrap_err();
        assert!(format!("{error:?}").contains(word), "{path}: {error:?}");
    }
    let source = KeySource::parse(&format!("{origin}/keys#{two}")).unwrap();
    assert!(source.secret_keys(Some(&trusting)).await.is_err());
    let distrusting = cloud(None, None).await;
    assert!(source.certificates(Some(&distrusting)).await.is_err(), "an unknown certificate");
}
