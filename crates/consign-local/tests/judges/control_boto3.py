"""boto3 against IAM, STS and KMS of a local cloud: every assertion is botocore's reading of an answer."""

import json
import os

import boto3
import urllib3
from botocore.exceptions import ClientError

ACCOUNT = "111111111111"


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"{found} instead of {code}: {error}"
        return error.response["Error"]["Message"]
    raise AssertionError(f"{call} passed; {code} was expected")


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def users(iam):
    user = iam.create_user(UserName="ann", Path="/team/", Tags=[{"Key": "a", "Value": "b"}])["User"]
    assert user["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/team/ann", user
    refused("EntityAlreadyExists", iam.create_user, UserName="ann")
    document = policy(allow("s3:ListAllMyBuckets"), allow("iam:GetUser", user["Arn"]))
    iam.put_user_policy(UserName="ann", PolicyName="p & q".replace(" & ", "-"), PolicyDocument=document)
    assert iam.list_user_policies(UserName="ann")["PolicyNames"] == ["p-q"]
    # botocore decodes the document that IAM percent-encodes.
    got = iam.get_user_policy(UserName="ann", PolicyName="p-q")["PolicyDocument"]
    assert got == json.loads(document), got
    assert iam.list_attached_user_policies(UserName="ann")["AttachedPolicies"] == []
    assert iam.list_groups_for_user(UserName="ann")["Groups"] == []
    iam.tag_user(UserName="ann", Tags=[{"Key": "c", "Value": "<&>\"'"}])
    tags = {tag["Key"]: tag["Value"] for tag in iam.list_user_tags(UserName="ann")["Tags"]}
    assert tags == {"a": "b", "c": "<&>\"'"}, tags
    iam.untag_user(UserName="ann", TagKeys=["a"])
    assert len(iam.get_user(UserName="ann")["User"]["Tags"]) == 1
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    assert [k["AccessKeyId"] for k in iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]] == [
        key["AccessKeyId"]
    ]
    ann = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=iam.meta.region_name)
    assert ann.client("iam").get_user()["User"]["UserName"] == "ann"
    assert ann.client("s3").list_buckets()["Buckets"] == []
    refused("AccessDenied", ann.client("iam").list_users)
    refused("AccessDeniedException", ann.client("kms").list_keys)
    for number in range(5):
        iam.create_user(UserName=f"page{number}")
    pages = iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 2})
    names = [user["UserName"] for page in pages for user in page["Users"]]
    assert sorted(names) == sorted(set(names)) and "page4" in names, names
    iam.delete_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"])
    refused("InvalidClientTokenId", ann.client("iam").get_user)
    iam.delete_user_policy(UserName="ann", PolicyName="p-q")
    iam.delete_user(UserName="ann")
    refused("NoSuchEntity", iam.get_user, UserName="ann")


def roles(iam, sts):
    trust = policy(
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
    )
    role = iam.create_role(RoleName="work", AssumeRolePolicyDocument=trust, Description="d")["Role"]
    assert role["AssumeRolePolicyDocument"] == json.loads(trust), role
    refused("MalformedPolicyDocument", iam.update_assume_role_policy, RoleName="work", PolicyDocument="{}")
    iam.put_role_policy(RoleName="work", PolicyName="p", PolicyDocument=policy(allow("iam:List*")))
    assert iam.list_attached_role_policies(RoleName="work")["AttachedPolicies"] == []
    answer = sts.assume_role(
        RoleArn=role["Arn"], RoleSessionName="s.1", Tags=[{"Key": "t", "Value": "u"}]
    )
    given = answer["Credentials"]
    session = boto3.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name=iam.meta.region_name
    )
    me = session.client("sts").get_caller_identity()
    assert me["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/work/s.1", me
    assert me["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    assert session.client("iam").list_roles()["Roles"]
    refused("AccessDenied", session.client("iam").create_user, UserName="x")
    refused("AccessDenied", sts.assume_role, RoleArn=role["Arn"] + "x", RoleSessionName="ss")
    iam.delete_role_policy(RoleName="work", PolicyName="p")
    iam.delete_role(RoleName="work")
    refused("InvalidClientTokenId", session.client("sts").get_caller_identity)


def keys(kms):
    made = kms.create_key(Description="for lanes", Tags=[{"TagKey": "x", "TagValue": "y"}])["KeyMetadata"]
    arn = made["Arn"]
    assert made["KeyState"] == "Enabled" and made["KeyManager"] == "CUSTOMER", made
    kms.create_alias(AliasName="alias/consign/a/b", TargetKeyId=arn)
    aliases = kms.list_aliases()["Aliases"]
    assert [a["TargetKeyId"] for a in aliases if a["AliasName"] == "alias/consign/a/b"] == [made["KeyId"]]
    context = {"aws:s3:arn": "arn:aws:s3:::b/k"}
    sealed = kms.encrypt(KeyId="alias/consign/a/b", Plaintext=b"\0secret", EncryptionContext=context)
    assert sealed["KeyId"] == arn
    blob = sealed["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == b"\0secret"
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob)
    data = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    assert len(data["Plaintext"]) == 32
    assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]
    bare = kms.generate_data_key_without_plaintext(KeyId=arn, NumberOfBytes=64)
    assert len(kms.decrypt(CiphertextBlob=bare["CiphertextBlob"])["Plaintext"]) == 64
    kms.enable_key_rotation(KeyId=arn)
    assert kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"]
    document = json.loads(kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
    assert document["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, document
    assert kms.list_key_policies(KeyId=arn)["PolicyNames"] == ["default"]
    assert kms.list_grants(KeyId=arn)["Grants"] == []
    assert kms.list_resource_tags(KeyId=arn)["Tags"] == [{"TagKey": "x", "TagValue": "y"}]
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1})
    assert arn in [key["KeyArn"] for page in pages for key in page["Keys"]]
    kms.disable_key(KeyId=arn)
    refused("DisabledException", kms.encrypt, KeyId=arn, Plaintext=b"x")
    date = kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)["DeletionDate"]
    assert date == kms.describe_key(KeyId=arn)["KeyMetadata"]["DeletionDate"]
    refused("KMSInvalidStateException", kms.enable_key, KeyId=arn)
    kms.cancel_key_deletion(KeyId=arn)
    kms.delete_alias(AliasName="alias/consign/a/b")
    refused("NotFoundException", kms.describe_key, KeyId="alias/consign/a/b")


def forms(s3):
    s3.create_bucket(Bucket="forms", CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    http = urllib3.PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"])
    post = s3.generate_presigned_post(
        "forms",
        "in/${filename}",
        Fields={"Content-Type": "text/plain", "success_action_status": "201"},
        Conditions=[["content-length-range", 1, 100], {"Content-Type": "text/plain"}, {"success_action_status": "201"}],
        ExpiresIn=60,
    )

    def send(content, **changed):
        fields = {**post["fields"], **changed, "file": ("a b.txt", content)}
        return http.request("POST", post["url"], fields=fields)

    answer = send(b"hello")
    assert answer.status == 201 and b"<Key>in/a b.txt</Key>" in answer.data, answer.data
    stored = s3.get_object(Bucket="forms", Key="in/a b.txt")
    assert stored["Body"].read() == b"hello" and stored["ContentType"] == "text/plain", stored
    assert b"EntityTooLarge" in send(b"x" * 101).data
    assert b"EntityTooSmall" in send(b"").data
    assert b"Policy Condition failed" in send(b"x", key="out/x").data
    assert b"Extra input fields" in send(b"x", acl="public-read").data
    assert b"SignatureDoesNotMatch" in send(b"x", **{"x-amz-signature": "0" * 64}).data
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="forms")["Contents"]] == ["in/a b.txt"]


def main():
    session = boto3.Session()
    iam, sts, kms = (session.client(name) for name in ("iam", "sts", "kms"))
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/admin"
    users(iam)
    roles(iam, sts)
    keys(kms)
    forms(session.client("s3"))
    print("content")


main()
