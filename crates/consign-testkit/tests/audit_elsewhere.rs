//! What an audit reads of services that the local cloud has not, read from moto: it enforces
//! nothing, and its answers have the shapes of S3 Control, CloudTrail, SQS and KMS grants. The world
//! is made by boto3, so that what we read was not written by us.

use std::path::Path;

use consign_cloud::{Cloud, Credentials, Settings};
use consign_provision::audit::{self, Demands, Fact, Facts, Finding, Verdict};
use consign_testkit::judges;
use consign_testkit::moto::Moto;

/// Everything that is a door or a record, and a bucket without any of it.
const WORLD: &str = r#"
import boto3, json, sys
endpoint, state = sys.argv[1], sys.argv[2]
def client(name):
    return boto3.client(name, endpoint_url=endpoint, region_name="eu-west-1",
                        aws_access_key_id="id", aws_secret_access_key="secret")
s3, sqs, kms, control, trail = map(client, ["s3", "sqs", "kms", "s3control", "cloudtrail"])
account = "123456789012"
# S3 Control puts the account before the host, which no address on the loopback has.
def plain_host(request, **_): request.url = request.url.replace("//%s." % account, "//")
control.meta.events.register("before-sign.s3-control.*", plain_host)
where = {"LocationConstraint": "eu-west-1"}
if state == "made":
    for bucket in ["doors", "plain", "copies", "logs"]:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    s3.put_bucket_website(Bucket="doors", WebsiteConfiguration={"IndexDocument": {"Suffix": "i"}})
    s3.put_bucket_cors(Bucket="doors", CORSConfiguration={"CORSRules": [
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.com"]}]})
    for bucket in ["doors", "copies"]:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_replication(Bucket="doors", ReplicationConfiguration={
        "Role": "arn:aws:iam::%s:role/r" % account, "Rules": [{"Status": "Enabled", "Prefix": "",
        "Destination": {"Bucket": "arn:aws:s3:::copies"}}]})
    s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*"}]}))
    s3.put_bucket_logging(Bucket="doors", BucketLoggingStatus={
        "LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": "doors/"}})
    queue = sqs.create_queue(QueueName="arrivals")["QueueUrl"]
    arn = "arn:aws:sqs:eu-west-1:%s:arrivals" % account
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
        "Action": "sqs:SendMessage", "Resource": arn}]})})
    s3.put_bucket_notification_configuration(Bucket="doors", NotificationConfiguration={
        "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]})
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_grant(KeyId=key, GranteePrincipal="arn:aws:iam::999999999999:role/other",
                     Operations=["Decrypt"])
    s3.put_bucket_encryption(Bucket="doors", ServerSideEncryptionConfiguration={"Rules": [
        {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
         "BucketKeyEnabled": True}]})
    control.create_access_point(AccountId=account, Name="side-door", Bucket="doors")
    control.create_multi_region_access_point(AccountId=account, ClientToken="t", Details={
        "Name": "wide-door", "Regions": [{"Bucket": "doors"}, {"Bucket": "copies"}]})
    iam = client("iam")
    iam.create_group(GroupName="keepers")
    everything = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    managed = iam.create_policy(PolicyName="all", PolicyDocument=json.dumps(everything))
    iam.attach_group_policy(GroupName="keepers", PolicyArn=managed["Policy"]["Arn"])
    for user in ["keeper", "visitor"]:
        iam.create_user(UserName=user)
    iam.add_user_to_group(GroupName="keepers", UserName="keeper")
    iam.put_user_policy(UserName="visitor", PolicyName="reads", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}))
    iam.create_role(RoleName="owner", AssumeRolePolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": []}))
    iam.put_role_policy(RoleName="owner", PolicyName="all", PolicyDocument=json.dumps(everything))
    trail.create_trail(Name="all", S3BucketName="logs")
else:
    control.put_public_access_block(AccountId=account, PublicAccessBlockConfiguration={
        "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True})
    trail.update_trail(Name="all", IsMultiRegionTrail=True, EnableLogFileValidation=True,
                       KmsKeyId="arn:aws:kms:eu-west-1:%s:key/k" % account)
    trail.start_logging(Name="all")
    trail.put_event_selectors(TrailName="all", EventSelectors=[{"ReadWriteType": "All",
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::doors/"]}]}])
"#;

fn make(moto: &Moto, python: &Path, state: &str) {
    let mut command = judges::command(python);
    let output = command.args(["-c", WORLD, &moto.endpoint, state]).output();
    let output = output.expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn cloud(moto: &Moto) -> Cloud {
    let settings = Settings {
        endpoint: Some(moto.endpoint.clone()),
        region: Some("eu-west-1".to_owned()),
        explicit_credentials: Some(Credentials::new("id", "secret", None)),
        ..Settings::default()
    };
    Cloud::connect(&settings).await.expect("a client")
}

fn verdict(facts: &Facts, control: &str) -> (Verdict, String) {
    let findings = audit::audit(None, facts, &Demands::default());
    let of = |it: &&Finding| it.control == control;
    let found = findings.iter().find(of).unwrap_or_else(|| panic!("no finding of {control}"));
    (found.verdict, found.fact.clone())
}

#[tokio::test]
async fn other_services_are_read_in_their_own_shapes() {
    let server = consign_testkit::require!("moto_server");
    let python = server.with_file_name("python");
    let moto = Moto::start(&server, "123456789012");
    make(&moto, &python, "made");
    let cloud = cloud(&moto).await;
    let facts = audit::read_bucket("doors", &cloud).await.expect("facts");
    let bucket = &facts.buckets[0];
    assert_eq!(bucket.website, Fact::Is(true));
    assert_eq!(bucket.cors, Fact::Is(vec!["https://example.com".to_owned()]));
    assert_eq!(bucket.replication, Fact::Is(vec!["arn:aws:s3:::copies".to_owned()]));
    assert_eq!(bucket.access_points, Fact::Is(vec!["side-door".to_owned()]));
    let wide = vec!["wide-door".to_owned()];
    assert_eq!(bucket.multi_region_access_points, Fact::Is(wide));
    let administrators = verdict(&facts, "X08");
    assert_eq!(administrators.0, Verdict::Accepted, "{}", administrators.1);
    let said = "2 of 3 users and roles of 123456789012 can: user/keeper, role/owner";
    assert!(administrators.1.starts_with(said), "{}", administrators.1);
    let grants = bucket.key.as_ref().and_then(|key| key.grants.known()).expect("grants");
    assert_eq!(grants[0].grantee, "arn:aws:iam::999999999999:role/other");
    for (control, says) in [
        ("X01", "no block is set"),
        ("X09", "a grant lets arn:aws:iam::999999999999:role/other Decrypt"),
        ("X15", "neither reads nor writes are recorded"),
        ("X16", "does not record"),
        ("X17", "the service logging.s3.amazonaws.com may s3:PutObject"),
        ("X18", "may sqs:SendMessage"),
        ("X22", "access points: side-door; multi-Region access points: wide-door; replication to"),
        ("X25", "copied to arn:aws:s3:::copies"),
    ] {
        let (found, fact) = verdict(&facts, control);
        assert_eq!(found, Verdict::Fail, "{control}: {fact}");
        assert!(fact.contains(says), "{control}: {fact}");
    }
    // moto has no Access Analyzer.
    assert_eq!(verdict(&facts, "X26").0, Verdict::NotLookedAt);

    make(&moto, &python, "mended");
    let facts = audit::read_bucket("doors", &cloud).await.expect("facts");
    let account = audit::audit(None, &facts, &Demands::default());
    let of_account = |control: &str| {
        let of = |it: &&Finding| it.control == control && it.resource.starts_with("account");
        account.iter().find(of).map(|it| (it.verdict, it.fact.clone())).expect("a finding")
    };
    for control in ["X01", "X16"] {
        let (found, fact) = of_account(control);
        assert_eq!(found, Verdict::Pass, "{control}: {fact}");
    }
    assert_eq!(verdict(&facts, "X15").0, Verdict::Pass);
    let plain = audit::read_bucket("plain", &cloud).await.expect("facts");
    let (found, fact) = verdict(&plain, "X22");
    // moto answers the list of inventories with something else, which is no "none", and has no
    // Access Grants.
    assert_eq!(found, Verdict::NotLookedAt, "{fact}");
    assert!(fact.starts_with("none seen, but grants through Access Grants on:"), "{fact}");
    assert!(fact.contains("; inventory to:"), "{fact}");
    assert_eq!(verdict(&plain, "X15").0, Verdict::Fail);
}
