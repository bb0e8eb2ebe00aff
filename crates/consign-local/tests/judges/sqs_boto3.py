"""boto3 against SQS and S3's events of a local cloud: every assertion is botocore's reading of an answer."""

import hashlib
import json
import os
import threading
import time
import urllib.parse

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

ACCOUNT, PARTNER = "111111111111", "222222222222"
REGION = os.environ["AWS_REGION"]


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"{found} instead of {code}: {error}"
        return error
    raise AssertionError(f"{call} passed; {code} was expected")


def arn(name, account=ACCOUNT):
    return f"arn:aws:sqs:{REGION}:{account}:{name}"


def take(sqs, url, **more):
    return sqs.receive_message(QueueUrl=url, AttributeNames=["All"], **more).get("Messages", [])


def queues(sqs):
    url = sqs.create_queue(QueueName="one", Attributes={"VisibilityTimeout": "7"}, tags={"a": "b"})["QueueUrl"]
    assert url.endswith(f"/{ACCOUNT}/one"), url
    assert sqs.create_queue(QueueName="one", Attributes={"VisibilityTimeout": "7"})["QueueUrl"] == url
    refused("QueueAlreadyExists", sqs.create_queue, QueueName="one", Attributes={"VisibilityTimeout": "8"})
    refused("InvalidParameterValue", sqs.create_queue, QueueName="a b")
    refused("AWS.SimpleQueueService.UnsupportedOperation", sqs.create_queue, QueueName="a.fifo", Attributes={"FifoQueue": "true"})
    refused("InvalidAttributeName", sqs.create_queue, QueueName="two", Attributes={"Colour": "red"})
    refused("InvalidAttributeValue", sqs.create_queue, QueueName="two", Attributes={"VisibilityTimeout": "43201"})
    missing = refused("AWS.SimpleQueueService.NonExistentQueue", sqs.get_queue_url, QueueName="none")
    assert isinstance(missing, sqs.exceptions.QueueDoesNotExist), type(missing)
    assert sqs.get_queue_url(QueueName="one")["QueueUrl"] == url
    all_of_it = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    for name, value in {
        "QueueArn": arn("one"),
        "VisibilityTimeout": "7",
        "MessageRetentionPeriod": "345600",
        "MaximumMessageSize": "1048576",
        "DelaySeconds": "0",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "ApproximateNumberOfMessages": "0",
    }.items():
        assert all_of_it[name] == value, (name, all_of_it)
    assert "Policy" not in all_of_it
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "1", "MaximumMessageSize": "2048"})
    some = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds", "RedrivePolicy"])["Attributes"]
    assert some == {"DelaySeconds": "1"}, some
    sqs.tag_queue(QueueUrl=url, Tags={"c": "d"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"c": "d"}
    for number in range(3):
        sqs.create_queue(QueueName=f"page{number}")
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix="page", PaginationConfig={"PageSize": 2})
    found = [found for page in pages for found in page.get("QueueUrls", [])]
    assert [name.rsplit("/", 1)[1] for name in found] == ["page0", "page1", "page2"], found
    sqs.delete_queue(QueueUrl=url)
    refused("AWS.SimpleQueueService.NonExistentQueue", sqs.send_message, QueueUrl=url, MessageBody="x")
    assert sqs.create_queue(QueueName="one")["QueueUrl"] == url
    assert take(sqs, url) == []


def messages(sqs):
    url = sqs.create_queue(QueueName="messages", Attributes={"VisibilityTimeout": "30"})["QueueUrl"]
    body = "grüße & <b>\t\"x\"\n𝄞"
    sent = sqs.send_message(QueueUrl=url, MessageBody=body)
    assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
    (got,) = take(sqs, url)
    assert got["Body"] == body and got["MessageId"] == sent["MessageId"], got
    assert got["Attributes"]["ApproximateReceiveCount"] == "1", got
    assert abs(int(got["Attributes"]["SentTimestamp"]) / 1000 - time.time()) < 60, got
    assert take(sqs, url) == [], "hidden"
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "1", counts
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"], VisibilityTimeout=0)
    (again,) = take(sqs, url)
    assert again["MessageId"] == got["MessageId"] and again["ReceiptHandle"] != got["ReceiptHandle"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2", again
    # An older handle is answered as if it had deleted.
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    refused(
        "InvalidParameterValue",
        sqs.change_message_visibility,
        QueueUrl=url,
        ReceiptHandle=got["ReceiptHandle"],
        VisibilityTimeout=0,
    )
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=0)
    refused(
        "AWS.SimpleQueueService.MessageNotInflight",
        sqs.change_message_visibility,
        QueueUrl=url,
        ReceiptHandle=again["ReceiptHandle"],
        VisibilityTimeout=5,
    )
    (third,) = take(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
    refused("ReceiptHandleIsInvalid", sqs.delete_message, QueueUrl=url, ReceiptHandle="nonsense")
    assert take(sqs, url) == []
    # A batch with one entry that cannot be.
    entries = [{"Id": f"e{n}", "MessageBody": f"body {n}"} for n in range(9)]
    result = sqs.send_message_batch(QueueUrl=url, Entries=[*entries, {"Id": "bad", "MessageBody": "\x01"}])
    assert len(result["Successful"]) == 9 and [f["Id"] for f in result["Failed"]] == ["bad"], result
    assert result["Failed"][0]["Code"] == "InvalidMessageContents" and result["Failed"][0]["SenderFault"]
    refused("AWS.SimpleQueueService.EmptyBatchRequest", sqs.send_message_batch, QueueUrl=url, Entries=[])
    many = [{"Id": f"e{n}", "MessageBody": "x"} for n in range(11)]
    refused("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", sqs.send_message_batch, QueueUrl=url, Entries=many)
    twice = [{"Id": "e", "MessageBody": "x"}] * 2
    refused("AWS.SimpleQueueService.BatchEntryIdsNotDistinct", sqs.send_message_batch, QueueUrl=url, Entries=twice)
    big = [{"Id": f"e{n}", "MessageBody": "x" * (1 << 19)} for n in range(3)]
    refused("AWS.SimpleQueueService.BatchRequestTooLong", sqs.send_message_batch, QueueUrl=url, Entries=big)
    got = take(sqs, url, MaxNumberOfMessages=10)
    assert sorted(m["Body"] for m in got) == [f"body {n}" for n in range(9)], got
    hide = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"], "VisibilityTimeout": 0} for n, m in enumerate(got)]
    hide.append({"Id": "bad", "ReceiptHandle": "nonsense", "VisibilityTimeout": 0})
    result = sqs.change_message_visibility_batch(QueueUrl=url, Entries=hide)
    assert len(result["Successful"]) == 9 and result["Failed"][0]["Code"] == "ReceiptHandleIsInvalid", result
    got = take(sqs, url, MaxNumberOfMessages=10)
    gone = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(got)]
    assert len(sqs.delete_message_batch(QueueUrl=url, Entries=gone)["Successful"]) == 9
    # The longest message that there is, and one byte more.
    sqs.send_message(QueueUrl=url, MessageBody="x" * (1 << 20))
    refused("InvalidParameterValue", sqs.send_message, QueueUrl=url, MessageBody="x" * ((1 << 20) + 1))
    sqs.purge_queue(QueueUrl=url)
    assert take(sqs, url) == []
    refused("InvalidParameterValue", sqs.receive_message, QueueUrl=url, MaxNumberOfMessages=11)
    refused("InvalidParameterValue", sqs.receive_message, QueueUrl=url, WaitTimeSeconds=21)


def long_polls(sqs):
    url = sqs.create_queue(QueueName="polled")["QueueUrl"]
    timer = threading.Timer(0.3, lambda: sqs.send_message(QueueUrl=url, MessageBody="late"))
    timer.start()
    (got,) = take(sqs, url, WaitTimeSeconds=20)
    assert got["Body"] == "late"
    # Hidden for a second: whoever waits sees it again.
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"], VisibilityTimeout=1)
    (again,) = take(sqs, url, WaitTimeSeconds=20)
    assert again["MessageId"] == got["MessageId"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    assert take(sqs, url, WaitTimeSeconds=1) == []


def dead_letters(sqs):
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": arn("dead"), "maxReceiveCount": 2})
    url = sqs.create_queue(QueueName="live", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    bad = json.dumps({"deadLetterTargetArn": arn("nowhere"), "maxReceiveCount": 2})
    refused("InvalidAttributeValue", sqs.set_queue_attributes, QueueUrl=url, Attributes={"RedrivePolicy": bad})
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sent = sqs.send_message(QueueUrl=url, MessageBody="poison")["MessageId"]
    for count in ("1", "2"):
        (got,) = take(sqs, url, VisibilityTimeout=0)
        assert got["Attributes"]["ApproximateReceiveCount"] == count, got
    assert take(sqs, url) == []
    (got,) = take(sqs, dead, VisibilityTimeout=0)
    assert got["MessageId"] == sent and got["Body"] == "poison", got
    assert got["Attributes"]["DeadLetterQueueSourceArn"] == arn("live"), got
    assert sqs.start_message_move_task(SourceArn=arn("dead"))["TaskHandle"]
    (got,) = take(sqs, url)
    assert got["MessageId"] == sent and take(sqs, dead) == [], got
    refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn("live"))
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"})})
    refused("InvalidAttributeValue", sqs.set_queue_attributes, QueueUrl=url, Attributes={"RedrivePolicy": redrive})


def permissions(sqs, partner):
    url = sqs.create_queue(QueueName="guarded")["QueueUrl"]
    refused("AccessDenied", partner.send_message, QueueUrl=url, MessageBody="x")
    refused("AccessDenied", partner.get_queue_attributes, QueueUrl=url, AttributeNames=["All"])
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{PARTNER}:root"},
        "Action": "sqs:SendMessage",
        "Resource": arn("guarded"),
        "Condition": {"Bool": {"aws:SecureTransport": "true"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    partner.send_message(QueueUrl=url, MessageBody="x")
    refused("AccessDenied", partner.receive_message, QueueUrl=url)
    policy["Statement"].append({**statement, "Effect": "Deny"})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    refused("AccessDenied", partner.send_message, QueueUrl=url, MessageBody="x")
    for text in ("{", "[]", json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})):
        refused("InvalidAttributeValue", sqs.set_queue_attributes, QueueUrl=url, Attributes={"Policy": text})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    assert "Policy" not in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def keys(sqs, kms):
    key = kms.create_key()["KeyMetadata"]["Arn"]
    url = sqs.create_queue(QueueName="keyed", Attributes={"KmsMasterKeyId": key})["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert found["KmsMasterKeyId"] == key and found["SqsManagedSseEnabled"] == "false", found
    sqs.send_message(QueueUrl=url, MessageBody="x")
    kms.disable_key(KeyId=key)
    refused("KmsDisabled", sqs.send_message, QueueUrl=url, MessageBody="x")
    refused("KmsDisabled", sqs.receive_message, QueueUrl=url)
    kms.enable_key(KeyId=key)
    assert len(take(sqs, url)) == 1
    refused("KmsNotFound", sqs.create_queue, QueueName="k2", Attributes={"KmsMasterKeyId": key[:-1]})


def record(message):
    (found,) = json.loads(message["Body"])["Records"]
    assert found["eventSource"] == "aws:s3" and found["awsRegion"] == REGION and found["eventVersion"] == "2.1"
    return found


def events(sqs, s3):
    bucket = "events-bucket"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    url = sqs.create_queue(QueueName="events")["QueueUrl"]
    wanted = {
        "QueueConfigurations": [
            {
                "Id": "scans",
                "QueueArn": arn("events"),
                "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".dcm"}]}},
            }
        ]
    }

    def configure(**more):
        return s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wanted, **more)

    refused("InvalidArgument", configure)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn("events"),
        "Condition": {
            "ArnEquals": {"aws:SourceArn": "arn:aws:s3:::another-bucket"},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    }
    insecure = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": arn("events"),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }

    def allow(source):
        statement["Condition"]["ArnEquals"]["aws:SourceArn"] = source
        policy = {"Version": "2012-10-17", "Statement": [statement, insecure]}
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})

    allow("arn:aws:s3:::another-bucket")
    refused("InvalidArgument", configure)
    allow(f"arn:aws:s3:::{bucket}")
    configure()
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert found["QueueConfigurations"][0]["Id"] == "scans", found
    assert found["QueueConfigurations"][0]["Events"] == wanted["QueueConfigurations"][0]["Events"], found
    rules = {rule["Name"].lower(): rule["Value"] for rule in found["QueueConfigurations"][0]["Filter"]["Key"]["FilterRules"]}
    assert rules == {"prefix": "in/", "suffix": ".dcm"}, rules
    (test,) = take(sqs, url)
    body = json.loads(test["Body"])
    assert (body["Service"], body["Event"], body["Bucket"]) == ("Amazon S3", "s3:TestEvent", bucket), body
    sqs.delete_message(QueueUrl=url, ReceiptHandle=test["ReceiptHandle"])

    def next_event():
        (message,) = take(sqs, url)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return record(message)

    key = "in/a b+é/(1)~.dcm"
    put = s3.put_object(Bucket=bucket, Key=key, Body=b"hello")
    event = next_event()
    told = event["s3"]["object"]
    assert event["eventName"] == "ObjectCreated:Put" and event["s3"]["configurationId"] == "scans", event
    assert urllib.parse.unquote_plus(told["key"]) == key and told["size"] == 5, told
    assert f'"{told["eTag"]}"' == put["ETag"] and "versionId" not in told, told
    assert event["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{bucket}", event
    assert event["userIdentity"]["principalId"].startswith("AWS:"), event
    s3.put_object(Bucket=bucket, Key="out/1.dcm", Body=b"x")
    s3.put_object(Bucket=bucket, Key="in/1.txt", Body=b"x")
    refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key=key, Body=b"x", IfNoneMatch="*")
    assert take(sqs, url) == [], "filtered, or refused"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    copied = s3.copy_object(Bucket=bucket, Key="in/2.dcm", CopySource={"Bucket": bucket, "Key": key})
    event = next_event()
    assert event["eventName"] == "ObjectCreated:Copy", event
    assert event["s3"]["object"]["versionId"] == copied["VersionId"], event
    assert event["s3"]["object"]["sequencer"] > told["sequencer"], event
    import io

    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.upload_fileobj(io.BytesIO(bytes(6 << 20)), bucket, "in/3.dcm", Config=parts)
    event = next_event()
    assert event["eventName"] == "ObjectCreated:CompleteMultipartUpload", event
    assert event["s3"]["object"]["size"] == 6 << 20 and event["s3"]["object"]["eTag"].endswith("-2"), event
    marked = s3.delete_object(Bucket=bucket, Key="in/3.dcm")
    event = next_event()
    assert event["eventName"] == "ObjectRemoved:DeleteMarkerCreated", event
    assert event["s3"]["object"]["versionId"] == marked["VersionId"] and "size" not in event["s3"]["object"], event
    gone = {"Objects": [{"Key": "in/2.dcm", "VersionId": copied["VersionId"]}, {"Key": "in/1.txt"}]}
    s3.delete_objects(Bucket=bucket, Delete=gone)
    event = next_event()
    assert event["eventName"] == "ObjectRemoved:Delete", event
    assert event["s3"]["object"]["versionId"] == copied["VersionId"], event
    assert take(sqs, url) == []
    # What the queue no longer takes is lost in silence, as in S3; the object is there.
    allow("arn:aws:s3:::another-bucket")
    s3.put_object(Bucket=bucket, Key="in/4.dcm", Body=b"x")
    assert take(sqs, url) == []
    allow(f"arn:aws:s3:::{bucket}")
    wanted["QueueConfigurations"].append({**wanted["QueueConfigurations"][0], "Id": "again"})
    refused("InvalidArgument", configure)
    for kind, value in {
        "TopicConfigurations": [{"TopicArn": "arn:aws:sns:x:1:t", "Events": ["s3:ObjectCreated:*"]}],
        "LambdaFunctionConfigurations": [{"LambdaFunctionArn": "arn:aws:lambda:x", "Events": ["s3:ObjectCreated:*"]}],
        "EventBridgeConfiguration": {},
    }.items():
        configuration = {kind: value}
        refused("NotImplemented", s3.put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration=configuration)
    wanted.clear()
    configure()
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="in/5.dcm", Body=b"x")
    assert take(sqs, url) == []


def main():
    session = boto3.Session()
    sqs, s3, kms = (session.client(name) for name in ("sqs", "s3", "kms"))
    partner = boto3.Session(profile_name=f"admin-{PARTNER}").client("sqs")
    queues(sqs)
    messages(sqs)
    long_polls(sqs)
    dead_letters(sqs)
    permissions(sqs, partner)
    keys(sqs, kms)
    events(sqs, s3)
    print("content")


main()
