"""boto3 against the local cloud: every check is a function; what fails is printed and counted.

Reads AWS_ENDPOINT_URL, AWS_CA_BUNDLE and the shared files from the environment. Profiles:
admin-111111111111, acme (account 111111111111), globex and stranger (account 222222222222).
"""

import base64
import hashlib
import json
import os
import sys
import traceback
import urllib.error
import urllib.parse
import urllib.request
import ssl
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "eu-west-1"
HOST, PARTNER = "111111111111", "222222222222"
PATH_STYLE = {"addressing_style": "path"}


def client(profile, service="s3", **config):
    session = boto3.Session(profile_name=profile, region_name=REGION)
    config.setdefault("retries", {"max_attempts": 1})
    if service == "s3":
        config.setdefault("s3", PATH_STYLE)
    return session.client(service, config=Config(**config))


ADMIN = client("admin-" + HOST)
ACME = client("acme")
GLOBEX = client("globex")
KMS = client("admin-" + HOST, "kms")
IAM = client("admin-" + HOST, "iam")
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def refused(code, call, **arguments):
    """The call must fail with this code, or one of these."""
    codes = (code,) if isinstance(code, str) else code
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found in codes, f"{found} instead of {codes}: {error}"
        return error.response
    raise AssertionError(f"{call.__name__} was allowed; expected {codes}")


COUNT = 0


def bucket(**options):
    global COUNT
    COUNT += 1
    name = f"judge-{COUNT:03}"
    ADMIN.create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}, **options
    )
    return name


def body(response):
    return response["Body"].read()


def table(polynomial):
    values = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        values.append(value)
    return values


CRCS = {"CRC32": (0xEDB88320, 4), "CRC32C": (0x82F63B78, 4), "CRC64NVME": (0x9A6C9329AC4BC9B5, 8)}


def checksum(algorithm, content):
    """Computed here: botocore has some algorithms only with its C runtime."""
    if algorithm in CRCS:
        polynomial, length = CRCS[algorithm]
        ones = (1 << 8 * length) - 1
        values, value = table(polynomial), ones
        for byte in content:
            value = value >> 8 ^ values[(value ^ byte) & 255]
        raw = (value ^ ones).to_bytes(length, "big")
    else:
        raw = hashlib.new(algorithm.lower(), content).digest()
    return base64.b64encode(raw).decode()


ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


@check
def buckets_live_and_die():
    name = bucket()
    assert name in [b["Name"] for b in ADMIN.list_buckets()["Buckets"]]
    assert name not in [b["Name"] for b in client("admin-" + PARTNER).list_buckets()["Buckets"]]
    ADMIN.head_bucket(Bucket=name)
    assert ADMIN.get_bucket_location(Bucket=name)["LocationConstraint"] == REGION
    refused("BucketAlreadyOwnedByYou", ADMIN.create_bucket, Bucket=name)
    refused("BucketAlreadyExists", client("admin-" + PARTNER).create_bucket, Bucket=name)
    refused("InvalidBucketName", ADMIN.create_bucket, Bucket="Under_Score")
    ADMIN.put_object(Bucket=name, Key="k", Body=b"x")
    refused("BucketNotEmpty", ADMIN.delete_bucket, Bucket=name)
    ADMIN.delete_object(Bucket=name, Key="k")
    ADMIN.delete_bucket(Bucket=name)
    refused("404", ADMIN.head_bucket, Bucket=name)
    refused("NoSuchBucket", ADMIN.list_objects_v2, Bucket=name)
    refused("NoSuchBucket", ADMIN.put_object, Bucket=name, Key="k")


@check
def objects_come_back_as_they_were():
    name = bucket()
    content = bytes(i % 251 for i in range(300_000))
    put = ADMIN.put_object(
        Bucket=name, Key="k", Body=content, ContentType="text/x-a", CacheControl="no-store",
        ContentDisposition="attachment", ContentEncoding="identity", ContentLanguage="de",
        Metadata={"One": "1", "umlaut": "plain"},
    )
    assert put["ETag"] == f'"{hashlib.md5(content).hexdigest()}"', put
    assert put["ServerSideEncryption"] == "AES256"
    got = ADMIN.get_object(Bucket=name, Key="k")
    assert body(got) == content
    assert got["ContentType"] == "text/x-a" and got["CacheControl"] == "no-store"
    assert got["ContentDisposition"] == "attachment" and got["ContentLanguage"] == "de"
    assert got["ContentEncoding"] == "identity", got
    assert got["Metadata"] == {"one": "1", "umlaut": "plain"}, got["Metadata"]
    head = ADMIN.head_object(Bucket=name, Key="k")
    assert head["ContentLength"] == len(content) and head["ETag"] == put["ETag"]
    assert ADMIN.put_object(Bucket=name, Key="empty")["ETag"].strip('"') == hashlib.md5().hexdigest()
    assert body(ADMIN.get_object(Bucket=name, Key="empty")) == b""
    refused("NoSuchKey", ADMIN.get_object, Bucket=name, Key="absent")
    refused("404", ADMIN.head_object, Bucket=name, Key="absent")
    ADMIN.delete_object(Bucket=name, Key="absent")


@check
def ranges():
    name = bucket()
    content = bytes(i % 251 for i in range(200_003))
    ADMIN.put_object(Bucket=name, Key="k", Body=content)
    for text, expected in [
        ("bytes=0-0", content[:1]), ("bytes=65530-65545", content[65530:65546]),
        ("bytes=199000-", content[199000:]), ("bytes=-7", content[-7:]),
        ("bytes=0-9999999", content), ("bytes=131072-131072", content[131072:131073]),
    ]:
        got = ADMIN.get_object(Bucket=name, Key="k", Range=text)
        assert body(got) == expected, text
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert ADMIN.head_object(Bucket=name, Key="k", Range="bytes=5-9")["ContentLength"] == 5
    refused("InvalidRange", ADMIN.get_object, Bucket=name, Key="k", Range="bytes=200003-")
    assert body(ADMIN.get_object(Bucket=name, Key="k", Range="bytes=9-5")) == content


@check
def conditional_reads():
    name = bucket()
    etag = ADMIN.put_object(Bucket=name, Key="k", Body=b"one")["ETag"]
    assert body(ADMIN.get_object(Bucket=name, Key="k", IfMatch=etag)) == b"one"
    refused("PreconditionFailed", ADMIN.get_object, Bucket=name, Key="k", IfMatch='"other"')
    refused("304", ADMIN.get_object, Bucket=name, Key="k", IfNoneMatch=etag)
    when = ADMIN.head_object(Bucket=name, Key="k")["LastModified"]
    refused("304", ADMIN.get_object, Bucket=name, Key="k", IfModifiedSince=when)
    ADMIN.get_object(Bucket=name, Key="k", IfUnmodifiedSince=when)
    refused("412", ADMIN.head_object, Bucket=name, Key="k", IfMatch='"other"')


@check
def conditional_writes():
    name = bucket()
    first = ADMIN.put_object(Bucket=name, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refused("PreconditionFailed", ADMIN.put_object, Bucket=name, Key="k", Body=b"2", IfNoneMatch="*")
    refused("PreconditionFailed", ADMIN.put_object, Bucket=name, Key="k", Body=b"2", IfMatch='"x"')
    refused("NoSuchKey", ADMIN.put_object, Bucket=name, Key="none", Body=b"2", IfMatch=first)
    ADMIN.put_object(Bucket=name, Key="k", Body=b"2", IfMatch=first)
    assert body(ADMIN.get_object(Bucket=name, Key="k")) == b"2"
    refused("PreconditionFailed", ADMIN.copy_object, Bucket=name, Key="k", CopySource=f"{name}/k",
            IfNoneMatch="*", MetadataDirective="REPLACE")

    def create(number):
        try:
            ADMIN.put_object(Bucket=name, Key="race", Body=b"%d" % number, IfNoneMatch="*")
            return 1
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed", error
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(24))) == 1
    ADMIN.delete_object(Bucket=name, Key="race")
    ADMIN.put_object(Bucket=name, Key="race", Body=b"again", IfNoneMatch="*")


KEYS = [
    "a", "a/b", "a/b/c", "a//b", "//", "../x", "a/../../etc/passwd", "./.", "..", "ends/",
    "with space", "plus+plus", "percent%41", "percent%2Fslash", "question?mark", "hash#tag",
    "ümläut", "日本/語", "😀", "e\u0301", "\u00e9", "<&>\"'", "tab\there", "new\nline", "a;b=c&d",
    "C:\\windows\\nul", "nul", "~", "*", "{x}", "x" * 1024, "k", "k/x", "\u202egpj.exe", "\ufeffbom",
]


@check
def keys_of_every_kind():
    name = bucket()
    for key in KEYS:
        ADMIN.put_object(Bucket=name, Key=key, Body=key.encode())
    for key in KEYS:
        assert body(ADMIN.get_object(Bucket=name, Key=key)) == key.encode(), key
    listed = [o["Key"] for o in ADMIN.list_objects_v2(Bucket=name)["Contents"]]
    assert listed == sorted(KEYS, key=lambda k: k.encode()), listed
    assert [o["Key"] for o in ADMIN.list_objects(Bucket=name)["Contents"]] == listed
    refused("KeyTooLongError", ADMIN.put_object, Bucket=name, Key="x" * 1025)
    other = bucket()
    refused("NoSuchKey", ADMIN.get_object, Bucket=other, Key=f"../{name}/a")
    result = ADMIN.delete_objects(
        Bucket=name, Delete={"Objects": [{"Key": k} for k in KEYS + ["never-was"]]}
    )
    assert sorted(d["Key"] for d in result["Deleted"]) == sorted(KEYS + ["never-was"]), result
    assert "Contents" not in ADMIN.list_objects_v2(Bucket=name)


@check
def listings():
    name = bucket()
    keys = [f"p/{i:02}" for i in range(25)] + ["a", "p", "p0", "q/1/2", "q/3", "z"]
    for key in keys:
        ADMIN.put_object(Bucket=name, Key=key)
    keys.sort()
    for operation in ["list_objects", "list_objects_v2"]:
        for size in [1, 2, 7, 1000]:
            pages = ADMIN.get_paginator(operation).paginate(
                Bucket=name, PaginationConfig={"PageSize": size}
            )
            found = [o["Key"] for page in pages for o in page.get("Contents", [])]
            assert found == keys, (operation, size, found)
            pages = ADMIN.get_paginator(operation).paginate(
                Bucket=name, Delimiter="/", PaginationConfig={"PageSize": size}
            )
            entries, prefixes = [], []
            for page in pages:
                assert len(page.get("Contents", [])) + len(page.get("CommonPrefixes", [])) <= size
                entries += [o["Key"] for o in page.get("Contents", [])]
                prefixes += [p["Prefix"] for p in page.get("CommonPrefixes", [])]
            assert entries == ["a", "p", "p0", "z"], (operation, size, entries)
            assert prefixes == ["p/", "q/"], (operation, size, prefixes)
    page = ADMIN.list_objects_v2(Bucket=name, Prefix="q/", Delimiter="/")
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["q/1/"]
    assert [o["Key"] for o in page["Contents"]] == ["q/3"]
    page = ADMIN.list_objects_v2(Bucket=name, StartAfter="p/23", MaxKeys=2)
    assert [o["Key"] for o in page["Contents"]] == ["p/24", "p0"] and page["IsTruncated"]
    assert ADMIN.list_objects_v2(Bucket=name, MaxKeys=0)["KeyCount"] == 0
    assert ADMIN.list_objects_v2(Bucket=name, Prefix="nope")["KeyCount"] == 0
    refused("InvalidArgument", ADMIN.list_objects_v2, Bucket=name, ContinuationToken="!")


@check
def checksums():
    name = bucket()
    content = b"123456789" * 1000
    for algorithm in ALGORITHMS:
        field, value = f"Checksum{algorithm}", checksum(algorithm, content)
        put = ADMIN.put_object(Bucket=name, Key=algorithm, Body=content, **{field: value})
        assert put[field] == value
        head = ADMIN.head_object(Bucket=name, Key=algorithm, ChecksumMode="ENABLED")
        assert head[field] == value and head["ChecksumType"] == "FULL_OBJECT"
        assert field not in ADMIN.head_object(Bucket=name, Key=algorithm)
        got = ADMIN.get_object(Bucket=name, Key=algorithm, ChecksumMode="ENABLED")
        assert body(got) == content
        attributes = ADMIN.get_object_attributes(
            Bucket=name, Key=algorithm, ObjectAttributes=["Checksum", "ETag", "ObjectSize"]
        )
        assert attributes["Checksum"][field] == value
        assert attributes["ObjectSize"] == len(content)
        wrong = dict(Bucket=name, Key=algorithm, Body=content + b"x")
        refused("BadDigest", ADMIN.put_object, **wrong, **{field: value})
        refused("InvalidRequest", ADMIN.put_object, **wrong, **{field: "AAA="})
        assert body(ADMIN.get_object(Bucket=name, Key=algorithm)) == content
    for algorithm in ["CRC32", "SHA1", "SHA256"]:
        # Here botocore computes while it sends, and puts the value into a trailer.
        put = ADMIN.put_object(
            Bucket=name, Key="trailer", Body=content, ChecksumAlgorithm=algorithm
        )
        assert put[f"Checksum{algorithm}"] == checksum(algorithm, content)
    plain = client("admin-" + HOST, request_checksum_calculation="when_required")
    plain.put_object(Bucket=name, Key="default", Body=content)
    head = ADMIN.head_object(Bucket=name, Key="default", ChecksumMode="ENABLED")
    assert "ChecksumCRC64NVME" in head, head
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    plain.put_object(Bucket=name, Key="md5", Body=content, ContentMD5=md5)
    refused("BadDigest", plain.put_object, Bucket=name, Key="md5", Body=b"other", ContentMD5=md5)
    refused("InvalidDigest", plain.put_object, Bucket=name, Key="md5", Body=b"", ContentMD5="AAAA")
    assert body(ADMIN.get_object(Bucket=name, Key="md5")) == content


MIB = 1024 * 1024


def multipart(s3, name, key, parts, create={}, complete={}, part=lambda number: {}):
    upload = s3.create_multipart_upload(Bucket=name, Key=key, **create)["UploadId"]
    done = []
    for number, content in parts:
        answer = s3.upload_part(
            Bucket=name, Key=key, UploadId=upload, PartNumber=number, Body=content,
            **part(number)
        )
        entry = {"PartNumber": number, "ETag": answer["ETag"]}
        entry.update({k: v for k, v in answer.items() if k.startswith("Checksum")})
        done.append(entry)
    return upload, s3.complete_multipart_upload(
        Bucket=name, Key=key, UploadId=upload, MultipartUpload={"Parts": done}, **complete
    )


@check
def multipart_uploads():
    name = bucket()
    one, two = bytes(i % 251 for i in range(5 * MIB)), b"tail" * 1000
    upload = ADMIN.create_multipart_upload(Bucket=name, Key="k", Metadata={"m": "1"})["UploadId"]
    assert ADMIN.list_multipart_uploads(Bucket=name)["Uploads"][0]["UploadId"] == upload
    refused("NoSuchKey", ADMIN.get_object, Bucket=name, Key="k")
    put = lambda number, content: ADMIN.upload_part(
        Bucket=name, Key="k", UploadId=upload, PartNumber=number, Body=content)["ETag"]
    tags = {7: put(7, two), 3: put(3, b"replaced"), 9: put(9, b"left out")}
    tags[3] = put(3, one)
    listed = ADMIN.list_parts(Bucket=name, Key="k", UploadId=upload)["Parts"]
    assert [(p["PartNumber"], p["Size"]) for p in listed] == [(3, len(one)), (7, 4000), (9, 8)]
    page = ADMIN.list_parts(Bucket=name, Key="k", UploadId=upload, MaxParts=2)
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 7
    parts = lambda *numbers: {"Parts": [{"PartNumber": n, "ETag": tags[n]} for n in numbers]}
    complete = lambda p: dict(Bucket=name, Key="k", UploadId=upload, MultipartUpload=p)
    refused("InvalidPartOrder", ADMIN.complete_multipart_upload, **complete(parts(7, 3)))
    refused("EntityTooSmall", ADMIN.complete_multipart_upload, **complete(parts(7, 9)))
    refused("InvalidPart", ADMIN.complete_multipart_upload,
            **complete({"Parts": [{"PartNumber": 3, "ETag": tags[7]}]}))
    refused("InvalidPart", ADMIN.complete_multipart_upload,
            **complete({"Parts": [{"PartNumber": 4, "ETag": tags[7]}]}))
    refused("MalformedXML", ADMIN.complete_multipart_upload, **complete({"Parts": []}))
    done = ADMIN.complete_multipart_upload(**complete(parts(3, 7)))
    raw = hashlib.md5(one).digest() + hashlib.md5(two).digest()
    assert done["ETag"] == f'"{hashlib.md5(raw).hexdigest()}-2"', done
    got = ADMIN.get_object(Bucket=name, Key="k")
    assert body(got) == one + two and got["Metadata"] == {"m": "1"}
    border = ADMIN.get_object(Bucket=name, Key="k", Range=f"bytes={len(one) - 3}-{len(one) + 3}")
    assert body(border) == one[-3:] + two[:4]
    second = ADMIN.get_object(Bucket=name, Key="k", PartNumber=2)
    assert body(second) == two and second["PartsCount"] == 2
    refused("NoSuchUpload", ADMIN.complete_multipart_upload, **complete(parts(3, 7)))
    refused("NoSuchUpload", ADMIN.list_parts, Bucket=name, Key="k", UploadId=upload)
    assert "Uploads" not in ADMIN.list_multipart_uploads(Bucket=name)
    upload = ADMIN.create_multipart_upload(Bucket=name, Key="gone")["UploadId"]
    ADMIN.upload_part(Bucket=name, Key="gone", UploadId=upload, PartNumber=1, Body=b"x")
    refused("BucketNotEmpty", ADMIN.delete_bucket, Bucket=name)
    ADMIN.abort_multipart_upload(Bucket=name, Key="gone", UploadId=upload)
    refused("NoSuchUpload", ADMIN.upload_part, Bucket=name, Key="gone", UploadId=upload,
            PartNumber=1, Body=b"x")
    refused("InvalidArgument", ADMIN.upload_part, Bucket=name, Key="gone", UploadId=upload,
            PartNumber=10001, Body=b"x")
    refused("NoSuchUpload", ADMIN.upload_part, Bucket=name, Key="gone", UploadId="../../x",
            PartNumber=1, Body=b"x")


@check
def multipart_checksums():
    name = bucket()
    parts = [(1, b"a" * 5 * MIB), (2, b"b" * 100)]
    whole = parts[0][1] + parts[1][1]
    for algorithm in ["CRC32", "CRC32C", "SHA1", "SHA256"]:
        field = f"Checksum{algorithm}"
        values = [checksum(algorithm, content) for _, content in parts]
        _, done = multipart(ADMIN, name, algorithm, parts, {"ChecksumAlgorithm": algorithm},
                            part=lambda n: {field: values[n - 1]})
        of_values = checksum(algorithm, b"".join(base64.b64decode(v) for v in values)) + "-2"
        assert done[field] == of_values and done["ChecksumType"] == "COMPOSITE", done
        head = ADMIN.head_object(Bucket=name, Key=algorithm, ChecksumMode="ENABLED")
        assert head[field] == of_values and head["ChecksumType"] == "COMPOSITE"
        attributes = ADMIN.get_object_attributes(
            Bucket=name, Key=algorithm, ObjectAttributes=["ObjectParts"])["ObjectParts"]
        assert [p[field] for p in attributes["Parts"]] == values
    for algorithm in ["CRC32", "CRC32C", "CRC64NVME"]:
        field = f"Checksum{algorithm}"
        value = checksum(algorithm, whole)
        create = {"ChecksumAlgorithm": algorithm, "ChecksumType": "FULL_OBJECT"}
        given = {field: value, "ChecksumType": "FULL_OBJECT"}
        with_value = lambda n: {field: checksum(algorithm, parts[n - 1][1])}
        _, done = multipart(ADMIN, name, "full", parts, create, given, part=with_value)
        assert done[field] == value and done["ChecksumType"] == "FULL_OBJECT"
        try:
            short = [(1, parts[1][1])]
            multipart(ADMIN, name, "bad", short, create, given,
                      part=lambda n: {field: checksum(algorithm, short[0][1])})
            raise AssertionError("another checksum of the whole was accepted")
        except ClientError as error:
            assert error.response["Error"]["Code"] == "BadDigest", error
    plain = client("admin-" + HOST, request_checksum_calculation="when_required")
    multipart(plain, name, "default", parts)
    head = ADMIN.head_object(Bucket=name, Key="default", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == checksum("CRC64NVME", whole), head
    refused("InvalidRequest", ADMIN.create_multipart_upload, Bucket=name, Key="x",
            ChecksumAlgorithm="SHA256", ChecksumType="FULL_OBJECT")
    _, done = multipart(ADMIN, name, "once", [(1, b"x")], complete={"IfNoneMatch": "*"})
    try:
        multipart(ADMIN, name, "once", [(1, b"y")], complete={"IfNoneMatch": "*"})
        raise AssertionError("If-None-Match was not enforced")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "PreconditionFailed", error
    assert body(ADMIN.get_object(Bucket=name, Key="once")) == b"x"


@check
def copies():
    name, other = bucket(), bucket()
    content = b"content" * 100_000
    put = ADMIN.put_object(Bucket=name, Key="a b+c/ü", Body=content, ContentType="text/x",
                           Metadata={"m": "1"}, Tagging="t=1")
    source = {"Bucket": name, "Key": "a b+c/ü"}
    done = ADMIN.copy_object(Bucket=other, Key="copy", CopySource=source)
    assert done["CopyObjectResult"]["ETag"] == put["ETag"]
    got = ADMIN.get_object(Bucket=other, Key="copy")
    assert body(got) == content and got["Metadata"] == {"m": "1"} and got["ContentType"] == "text/x"
    assert ADMIN.get_object_tagging(Bucket=other, Key="copy")["TagSet"] == [{"Key": "t", "Value": "1"}]
    ADMIN.copy_object(Bucket=other, Key="copy", CopySource=source, MetadataDirective="REPLACE",
                      Metadata={"n": "2"}, TaggingDirective="REPLACE", Tagging="u=2")
    head = ADMIN.head_object(Bucket=other, Key="copy")
    assert head["Metadata"] == {"n": "2"} and head["ContentType"] == "binary/octet-stream", head
    assert ADMIN.get_object_tagging(Bucket=other, Key="copy")["TagSet"] == [{"Key": "u", "Value": "2"}]
    refused("InvalidRequest", ADMIN.copy_object, Bucket=name, Key="a b+c/ü", CopySource=source)
    ADMIN.copy_object(Bucket=name, Key="a b+c/ü", CopySource=source, MetadataDirective="REPLACE")
    refused("NoSuchKey", ADMIN.copy_object, Bucket=other, Key="x", CopySource=f"{name}/absent")
    refused("PreconditionFailed", ADMIN.copy_object, Bucket=other, Key="x", CopySource=source,
            CopySourceIfMatch='"x"')
    refused("NoSuchBucket", ADMIN.copy_object, Bucket=other, Key="x", CopySource="no-such-b/k")
    big = bytes(i % 251 for i in range(11 * MIB))
    ADMIN.put_object(Bucket=name, Key="big", Body=big)
    upload = ADMIN.create_multipart_upload(Bucket=other, Key="mp")["UploadId"]
    parts = []
    for number, (first, last) in enumerate([(0, 6 * MIB), (6 * MIB + 1, 11 * MIB - 1)], 1):
        answer = ADMIN.upload_part_copy(
            Bucket=other, Key="mp", UploadId=upload, PartNumber=number,
            CopySource={"Bucket": name, "Key": "big"}, CopySourceRange=f"bytes={first}-{last}")
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    refused("InvalidArgument", ADMIN.upload_part_copy, Bucket=other, Key="mp", UploadId=upload,
            PartNumber=3, CopySource=f"{name}/big", CopySourceRange="bytes=0-99999999")
    ADMIN.complete_multipart_upload(Bucket=other, Key="mp", UploadId=upload,
                                    MultipartUpload={"Parts": parts})
    assert body(ADMIN.get_object(Bucket=other, Key="mp")) == big


@check
def versions():
    name = bucket()
    assert "Status" not in ADMIN.get_bucket_versioning(Bucket=name)
    ADMIN.put_object(Bucket=name, Key="k", Body=b"null")
    ADMIN.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    one = ADMIN.put_object(Bucket=name, Key="k", Body=b"one")["VersionId"]
    two = ADMIN.put_object(Bucket=name, Key="k", Body=b"two")["VersionId"]
    get = lambda **v: body(ADMIN.get_object(Bucket=name, Key="k", **v))
    assert get() == b"two" and get(VersionId=one) == b"one" and get(VersionId="null") == b"null"
    marker = ADMIN.delete_object(Bucket=name, Key="k")
    assert marker["DeleteMarker"]
    answer = refused("NoSuchKey", ADMIN.get_object, Bucket=name, Key="k")
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-delete-marker"] == "true"
    refused("MethodNotAllowed", ADMIN.get_object, Bucket=name, Key="k",
            VersionId=marker["VersionId"])
    refused("NoSuchVersion", ADMIN.get_object, Bucket=name, Key="k", VersionId="x" * 32)
    assert "Contents" not in ADMIN.list_objects_v2(Bucket=name)
    page = ADMIN.list_object_versions(Bucket=name)
    assert [v["VersionId"] for v in page["Versions"]] == [two, one, "null"]
    assert page["DeleteMarkers"][0]["IsLatest"]
    for size in [1, 2, 3]:
        pages = ADMIN.get_paginator("list_object_versions").paginate(
            Bucket=name, PaginationConfig={"PageSize": size})
        found = [v["VersionId"] for p in pages for v in p.get("DeleteMarkers", []) + p.get("Versions", [])]
        assert found == [marker["VersionId"], two, one, "null"], (size, found)
    ADMIN.delete_object(Bucket=name, Key="k", VersionId=marker["VersionId"])
    assert get() == b"two"
    ADMIN.delete_object(Bucket=name, Key="k", VersionId=two)
    assert get() == b"one"
    copied = ADMIN.copy_object(Bucket=name, Key="c",
                               CopySource={"Bucket": name, "Key": "k", "VersionId": "null"})
    assert copied["CopySourceVersionId"] == "null"
    assert body(ADMIN.get_object(Bucket=name, Key="c")) == b"null"
    ADMIN.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    put = ADMIN.put_object(Bucket=name, Key="k", Body=b"null again")
    assert put["VersionId"] == "null", put
    page = ADMIN.list_object_versions(Bucket=name, Prefix="k")
    assert [v["VersionId"] for v in page["Versions"]] == ["null", one]
    gone = ADMIN.delete_object(Bucket=name, Key="k")
    assert gone["DeleteMarker"] and gone["VersionId"] == "null"
    refused("BucketNotEmpty", ADMIN.delete_bucket, Bucket=name)
    page = ADMIN.list_object_versions(Bucket=name)
    everything = page.get("Versions", []) + page.get("DeleteMarkers", [])
    ADMIN.delete_objects(Bucket=name, Delete={"Objects": [
        {"Key": v["Key"], "VersionId": v["VersionId"]} for v in everything]})
    ADMIN.delete_bucket(Bucket=name)


@check
def object_tags():
    name = bucket()
    ADMIN.put_object(Bucket=name, Key="k", Tagging="a=1&b=x%20y")
    tags = lambda: {t["Key"]: t["Value"] for t in
                    ADMIN.get_object_tagging(Bucket=name, Key="k")["TagSet"]}
    assert tags() == {"a": "1", "b": "x y"}
    assert ADMIN.get_object(Bucket=name, Key="k")["TagCount"] == 2
    put = lambda s: dict(Bucket=name, Key="k", Tagging={"TagSet": s})
    ADMIN.put_object_tagging(**put([{"Key": "c", "Value": "3"}]))
    assert tags() == {"c": "3"}
    eleven = [{"Key": str(i), "Value": ""} for i in range(11)]
    refused("BadRequest", ADMIN.put_object_tagging, **put(eleven))
    refused("InvalidTag", ADMIN.put_object_tagging, **put([{"Key": "x" * 129, "Value": ""}]))
    refused("InvalidTag", ADMIN.put_object_tagging, **put([{"Key": "d", "Value": "1"}] * 2))
    ADMIN.delete_object_tagging(Bucket=name, Key="k")
    assert tags() == {}
    refused("NoSuchKey", ADMIN.get_object_tagging, Bucket=name, Key="absent")
    refused("MetadataTooLarge", ADMIN.put_object, Bucket=name, Key="m", Metadata={"m": "x" * 2048})


@check
def customer_keys():
    name = bucket()
    key, other = os.urandom(32), os.urandom(32)
    sse = dict(SSECustomerAlgorithm="AES256", SSECustomerKey=key)
    put = ADMIN.put_object(Bucket=name, Key="k", Body=b"secret", **sse)
    assert put["SSECustomerAlgorithm"] == "AES256" and "ServerSideEncryption" not in put
    assert put["ETag"].strip('"') != hashlib.md5(b"secret").hexdigest()
    assert body(ADMIN.get_object(Bucket=name, Key="k", **sse)) == b"secret"
    refused("InvalidRequest", ADMIN.get_object, Bucket=name, Key="k")
    refused("AccessDenied", ADMIN.get_object, Bucket=name, Key="k",
            SSECustomerAlgorithm="AES256", SSECustomerKey=other)
    refused("400", ADMIN.head_object, Bucket=name, Key="k")
    ADMIN.head_object(Bucket=name, Key="k", **sse)
    refused("403", ADMIN.head_object, Bucket=name, Key="k",
            SSECustomerAlgorithm="AES256", SSECustomerKey=other)
    refused("InvalidArgument", ADMIN.put_object, Bucket=name, Key="k", SSECustomerAlgorithm="AES256",
            SSECustomerKey=base64.b64encode(key).decode(),
            SSECustomerKeyMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    refused("InvalidArgument", ADMIN.put_object, Bucket=name, Key="k", SSECustomerAlgorithm="AES256",
            SSECustomerKey=b"short")
    ADMIN.put_object(Bucket=name, Key="plain", Body=b"x")
    refused("InvalidRequest", ADMIN.get_object, Bucket=name, Key="plain", **sse)
    copy = {f"CopySource{k}": v for k, v in sse.items()}
    ADMIN.copy_object(Bucket=name, Key="copy", CopySource=f"{name}/k", **copy)
    assert body(ADMIN.get_object(Bucket=name, Key="copy")) == b"secret"
    multipart(ADMIN, name, "mp", [(1, b"a" * 5 * MIB), (2, b"b")], sse, sse,
              part=lambda n: sse)
    assert body(ADMIN.get_object(Bucket=name, Key="mp", Range="bytes=5242879-5242880", **sse)) == b"ab"
    http = boto3.Session(profile_name="admin-" + HOST, region_name=REGION).client(
        "s3", endpoint_url=os.environ["PLAIN_ENDPOINT"], config=Config(s3=PATH_STYLE))
    assert body(http.get_object(Bucket=name, Key="plain")) == b"x"
    ADMIN.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [{
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
        "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}]})
    refused("AccessDenied", ADMIN.put_object, Bucket=name, Key="k2", Body=b"x", **sse)


def kms_key(policy=None):
    return KMS.create_key(**({"Policy": json.dumps(policy)} if policy else {}))["KeyMetadata"]["Arn"]


@check
def kms_encryption():
    name, key = bucket(), kms_key()
    put = ADMIN.put_object(Bucket=name, Key="k", Body=b"x" * 100_000,
                           ServerSideEncryption="aws:kms", SSEKMSKeyId=key.split("/")[1])
    assert put["ServerSideEncryption"] == "aws:kms" and put["SSEKMSKeyId"] == key, put
    got = ADMIN.get_object(Bucket=name, Key="k")
    assert body(got) == b"x" * 100_000 and got["SSEKMSKeyId"] == key
    assert ADMIN.head_object(Bucket=name, Key="k")["ServerSideEncryption"] == "aws:kms"
    put = ADMIN.put_object(Bucket=name, Key="managed", Body=b"x", ServerSideEncryption="aws:kms")
    assert put["SSEKMSKeyId"] != key
    put = ADMIN.put_object(Bucket=name, Key="dual", Body=b"y" * 70_000,
                           ServerSideEncryption="aws:kms:dsse", SSEKMSKeyId=key)
    assert put["ServerSideEncryption"] == "aws:kms:dsse"
    assert body(ADMIN.get_object(Bucket=name, Key="dual", Range="bytes=65535-65536")) == b"yy"
    refused(("KMS.NotFoundException", "NotFoundException"), ADMIN.put_object, Bucket=name, Key="z",
            ServerSideEncryption="aws:kms", SSEKMSKeyId=key[:-4] + "0000")
    refused("InvalidArgument", ADMIN.put_object, Bucket=name, Key="z", ServerSideEncryption="rot13")
    refused("InvalidArgument", ADMIN.put_object, Bucket=name, Key="z", SSEKMSKeyId=key)
    ADMIN.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [{
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
        "BucketKeyEnabled": True}]})
    rule = ADMIN.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key
    assert rule["BucketKeyEnabled"]
    put = ADMIN.put_object(Bucket=name, Key="default", Body=b"z")
    assert put["SSEKMSKeyId"] == key and put["BucketKeyEnabled"], put
    _, done = multipart(ADMIN, name, "mp", [(1, b"a" * 5 * MIB), (2, b"b")])
    assert done["SSEKMSKeyId"] == key and done["ETag"].endswith('-2"')
    assert body(ADMIN.get_object(Bucket=name, Key="mp"))[-2:] == b"ab"
    put = ADMIN.put_object(Bucket=name, Key="override", ServerSideEncryption="AES256")
    assert put["ServerSideEncryption"] == "AES256" and "SSEKMSKeyId" not in put
    context = lambda pairs: base64.b64encode(json.dumps(pairs).encode()).decode()
    kms = dict(Bucket=name, Key="ctx", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    ADMIN.put_object(**kms, Body=b"c", SSEKMSEncryptionContext=context({"purpose": "judge"}))
    assert body(ADMIN.get_object(Bucket=name, Key="ctx")) == b"c"
    for wrong in [context({"aws:s3:arn": "arn:aws:s3:::other/k"}), context([1]), "!"]:
        refused("InvalidArgument", ADMIN.put_object, **kms, SSEKMSEncryptionContext=wrong)
    KMS.disable_key(KeyId=key)
    refused(("KMS.DisabledException", "KMS.KMSInvalidStateException"), ADMIN.get_object,
            Bucket=name, Key="k")
    refused(("KMS.DisabledException", "KMS.KMSInvalidStateException"), ADMIN.put_object,
            Bucket=name, Key="k2")
    ADMIN.head_object(Bucket=name, Key="k")
    KMS.enable_key(KeyId=key)
    assert body(ADMIN.get_object(Bucket=name, Key="default")) == b"z"


def allow(user, *statements):
    IAM.put_user_policy(UserName=user, PolicyName="judge", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": list(statements)}))


def let(actions, resources, **more):
    return dict(Effect="Allow", Action=actions, Resource=resources, **more)


def policy(name, *statements):
    ADMIN.put_bucket_policy(Bucket=name, Policy=json.dumps(
        {"Version": "2012-10-17", "Statement": list(statements)}))


ACME_ARN = f"arn:aws:iam::{HOST}:user/consign/acme"
GLOBEX_ARN = f"arn:aws:iam::{PARTNER}:user/consign/globex"
PARTNER_IAM = client("admin-" + PARTNER, "iam")


def let_globex(*statements):
    PARTNER_IAM.put_user_policy(UserName="globex", PolicyName="judge", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": list(statements)}))


@check
def policies_decide():
    name = bucket()
    arn, objects = f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"
    ADMIN.put_object(Bucket=name, Key="k", Body=b"x")
    allow("acme", let("s3:GetBucketLocation", arn))
    for call in [ACME.get_object, ACME.put_object, ACME.delete_object, ACME.get_object_tagging]:
        refused("AccessDenied", call, Bucket=name, Key="k")
    refused("AccessDenied", ACME.get_object, Bucket=name, Key="absent")
    refused("AccessDenied", ACME.list_objects_v2, Bucket=name)
    allow("acme", let("s3:GetObject", objects))
    assert body(ACME.get_object(Bucket=name, Key="k")) == b"x"
    refused("AccessDenied", ACME.get_object, Bucket=name, Key="absent")
    refused("403", ACME.head_object, Bucket=name, Key="absent")
    allow("acme", let("s3:GetObject", objects), let("s3:ListBucket", arn,
          Condition={"StringLike": {"s3:prefix": "home/*"}}))
    refused("AccessDenied", ACME.list_objects_v2, Bucket=name)
    ACME.list_objects_v2(Bucket=name, Prefix="home/acme")
    refused("AccessDenied", ACME.list_objects_v2, Bucket=name, Prefix="other/")
    allow("acme", let("s3:GetObject", objects), let("s3:ListBucket", arn))
    refused("NoSuchKey", ACME.get_object, Bucket=name, Key="absent")
    refused("AccessDenied", ACME.list_object_versions, Bucket=name)
    allow("acme", let("s3:PutObject", objects))
    ACME.put_object(Bucket=name, Key="k2", Body=b"x")
    refused("AccessDenied", ACME.put_object, Bucket=name, Key="k2", Tagging="a=1")
    refused("AccessDenied", ACME.copy_object, Bucket=name, Key="k3", CopySource=f"{name}/k")
    refused("AccessDenied", ACME.get_object, Bucket=name, Key="k2")
    upload = ACME.create_multipart_upload(Bucket=name, Key="mp")["UploadId"]
    ACME.upload_part(Bucket=name, Key="mp", UploadId=upload, PartNumber=1, Body=b"x")
    refused("AccessDenied", ACME.list_parts, Bucket=name, Key="mp", UploadId=upload)
    refused("AccessDenied", ACME.abort_multipart_upload, Bucket=name, Key="mp", UploadId=upload)
    refused("AccessDenied", ACME.upload_part_copy, Bucket=name, Key="mp", UploadId=upload,
            PartNumber=2, CopySource=f"{name}/k")
    ADMIN.abort_multipart_upload(Bucket=name, Key="mp", UploadId=upload)
    policy(name, dict(Effect="Deny", Principal="*", Action="s3:PutObject", Resource=objects,
                      Condition={"Bool": {"s3:ObjectCreationOperation": "true"},
                                 "Null": {"s3:if-none-match": "true"}}))
    refused("AccessDenied", ACME.put_object, Bucket=name, Key="once", Body=b"1")
    refused("AccessDenied", ADMIN.put_object, Bucket=name, Key="once", Body=b"1")
    ACME.put_object(Bucket=name, Key="once", Body=b"1", IfNoneMatch="*")
    upload, done = multipart(ACME, name, "mp", [(1, b"x")], complete={"IfNoneMatch": "*"})
    try:
        multipart(ACME, name, "mp2", [(1, b"x")])
        raise AssertionError("completion without a condition")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
    policy(name, dict(Effect="Allow", Principal={"AWS": ACME_ARN}, Action="s3:GetObject",
                      Resource=objects,
                      Condition={"StringEquals": {"s3:ExistingObjectTag/clean": "yes"}}))
    refused("AccessDenied", ACME.get_object, Bucket=name, Key="k")
    ADMIN.put_object_tagging(Bucket=name, Key="k", Tagging={"TagSet": [
        {"Key": "clean", "Value": "yes"}]})
    assert body(ACME.get_object(Bucket=name, Key="k")) == b"x"
    ADMIN.delete_bucket_policy(Bucket=name)
    refused("NoSuchBucketPolicy", ADMIN.get_bucket_policy, Bucket=name)
    refused("AccessDenied", ACME.get_object, Bucket=name, Key="k")


@check
def policies_reach_across_accounts():
    name = bucket()
    arn, objects = f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"
    ADMIN.put_object(Bucket=name, Key="k", Body=b"x")
    let_globex(let("s3:*", "*"))
    refused("AccessDenied", GLOBEX.get_object, Bucket=name, Key="k")
    policy(name, dict(Effect="Allow", Principal={"AWS": GLOBEX_ARN},
                      Action=["s3:GetObject", "s3:PutObject"], Resource=objects))
    assert body(GLOBEX.get_object(Bucket=name, Key="k")) == b"x"
    put = GLOBEX.put_object(Bucket=name, Key="from-globex", Body=b"y")
    assert body(ADMIN.get_object(Bucket=name, Key="from-globex")) == b"y"
    refused("AccessDenied", GLOBEX.delete_object, Bucket=name, Key="k")
    refused("AccessDenied", client("stranger").get_object, Bucket=name, Key="k")
    refused("AccessDenied", GLOBEX.get_object, Bucket=name, Key="k",
            ExpectedBucketOwner=PARTNER)
    GLOBEX.get_object(Bucket=name, Key="k", ExpectedBucketOwner=HOST)
    let_globex(let("s3:PutObject", "*"))
    refused("AccessDenied", GLOBEX.get_object, Bucket=name, Key="k")
    let_globex(let("s3:*", "*"))
    key = kms_key({"Version": "2012-10-17", "Statement": [
        dict(Effect="Allow", Principal={"AWS": f"arn:aws:iam::{HOST}:root"}, Action="kms:*",
             Resource="*"),
        dict(Effect="Allow", Principal={"AWS": GLOBEX_ARN}, Action="kms:GenerateDataKey",
             Resource="*", Condition={
                 "StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
                 "StringLike": {"kms:EncryptionContext:aws:s3:arn": [arn, objects]}})]})
    ADMIN.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [{
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
        "BucketKeyEnabled": True}]})
    refused("AccessDenied", GLOBEX.put_object, Bucket=name, Key="kms", Body=b"x")
    let_globex(let("s3:*", "*"), let("kms:*", "*"))
    put = GLOBEX.put_object(Bucket=name, Key="kms", Body=b"x")
    assert put["SSEKMSKeyId"] == key
    refused("AccessDenied", GLOBEX.get_object, Bucket=name, Key="kms")
    GLOBEX.head_object(Bucket=name, Key="kms")
    upload = GLOBEX.create_multipart_upload(Bucket=name, Key="mp")["UploadId"]
    refused("AccessDenied", GLOBEX.upload_part, Bucket=name, Key="mp", UploadId=upload,
            PartNumber=1, Body=b"x")
    assert body(ADMIN.get_object(Bucket=name, Key="kms")) == b"x"
    refused("AccessDenied", GLOBEX.copy_object, Bucket=name, Key="c", CopySource=f"{name}/kms")


@check
def the_public_stays_out():
    name = bucket()
    ADMIN.put_object(Bucket=name, Key="k", Body=b"x")
    public = dict(Effect="Allow", Principal="*", Action="s3:GetObject",
                  Resource=f"arn:aws:s3:::{name}/*")
    document = json.dumps({"Version": "2012-10-17", "Statement": [public]})
    refused("AccessDenied", ADMIN.put_bucket_policy, Bucket=name, Policy=document)
    ADMIN.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={
        "BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": False,
        "RestrictPublicBuckets": True})
    ADMIN.put_bucket_policy(Bucket=name, Policy=document)
    assert ADMIN.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"]
    url = f"{os.environ['AWS_ENDPOINT_URL']}/{name}/k"
    assert fetch(url)[0] == 403
    let_globex(let("s3:*", "*"))
    refused("AccessDenied", GLOBEX.get_object, Bucket=name, Key="k")
    ADMIN.delete_public_access_block(Bucket=name)
    refused("NoSuchPublicAccessBlockConfiguration", ADMIN.get_public_access_block, Bucket=name)
    assert fetch(url) == (200, b"x")
    assert fetch(url + "?response-content-type=text/html")[0] == 400
    assert fetch(f"{os.environ['AWS_ENDPOINT_URL']}/{name}")[0] == 403
    assert fetch(os.environ["AWS_ENDPOINT_URL"] + "/")[0] == 403
    GLOBEX.get_object(Bucket=name, Key="k")
    for wrong in ["{", "[]", json.dumps({"Version": "2012-10-17", "Statement": [
            dict(public, Resource="arn:aws:s3:::other/*")]}),
            json.dumps({"Version": "2012-10-17", "Statement": [
                {k: v for k, v in public.items() if k != "Principal"}]})]:
        refused("MalformedPolicy", ADMIN.put_bucket_policy, Bucket=name, Policy=wrong)


CONTEXT = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])


def fetch(url, method="GET", data=None, headers={}):
    request = urllib.request.Request(url, method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, context=CONTEXT) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@check
def presigned_urls():
    name = bucket()
    signer = client("admin-" + HOST, signature_version="s3v4")
    url = signer.generate_presigned_url("put_object", {"Bucket": name, "Key": "k ü"}, 300)
    assert fetch(url, "PUT", b"presigned")[0] == 200
    url = signer.generate_presigned_url("get_object", {"Bucket": name, "Key": "k ü"}, 300)
    assert fetch(url) == (200, b"presigned")
    assert fetch(url.replace("k%20", "l%20"))[0] == 403
    assert fetch(url + "&versionId=null")[0] == 403
    assert fetch(url, "DELETE")[0] == 403
    assert fetch(url, headers={"x-amz-copy-source": f"{name}/k"})[0] == 403
    url = signer.generate_presigned_url("get_object", {"Bucket": name, "Key": "k ü",
        "ResponseContentDisposition": "attachment; filename=x", "ResponseContentType": "a/b"}, 300)
    with urllib.request.urlopen(url, context=CONTEXT) as response:
        assert response.headers["Content-Type"] == "a/b"
        assert response.headers["Content-Disposition"] == "attachment; filename=x"
    once = signer.generate_presigned_url(
        "put_object", {"Bucket": name, "Key": "once", "IfNoneMatch": "*"}, 300)
    assert fetch(once, "PUT", b"1", {"If-None-Match": "*"})[0] == 200
    assert fetch(once, "PUT", b"2", {"If-None-Match": "*"})[0] == 412


@check
def settings():
    name = bucket()
    assert all(ADMIN.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
    rules = ADMIN.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    refused("AccessControlListNotSupported", ADMIN.put_object, Bucket=name, Key="k",
            ACL="public-read")
    ADMIN.put_object(Bucket=name, Key="k", ACL="bucket-owner-full-control")
    refused("AccessControlListNotSupported", ADMIN.put_bucket_acl, Bucket=name, ACL="private")
    acl = ADMIN.get_bucket_acl(Bucket=name)
    assert acl["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert ADMIN.get_object_acl(Bucket=name, Key="k")["Grants"] == acl["Grants"]
    default = ADMIN.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]
    assert default["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    refused("NoSuchTagSet", ADMIN.get_bucket_tagging, Bucket=name)
    ADMIN.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    assert ADMIN.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "a", "Value": "1"}]
    ADMIN.delete_bucket_tagging(Bucket=name)
    refused("NoSuchLifecycleConfiguration", ADMIN.get_bucket_lifecycle_configuration, Bucket=name)
    rule = {"ID": "expire", "Status": "Enabled", "Filter": {"Prefix": "in/"},
            "Expiration": {"Days": 30}, "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
    ADMIN.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
    assert ADMIN.get_bucket_lifecycle_configuration(Bucket=name)["Rules"] == [rule]
    ADMIN.delete_bucket_lifecycle(Bucket=name)
    for call, code in [
        (ADMIN.get_bucket_cors, "NoSuchCORSConfiguration"),
        (ADMIN.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (ADMIN.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
        (ADMIN.get_object_lock_configuration, "ObjectLockConfigurationNotFoundError"),
        (ADMIN.get_bucket_policy, "NoSuchBucketPolicy"),
        (ADMIN.get_bucket_policy_status, "NoSuchBucketPolicy"),
    ]:
        refused(code, call, Bucket=name)
    assert "LoggingEnabled" not in ADMIN.get_bucket_logging(Bucket=name)
    assert "TopicConfigurations" not in ADMIN.get_bucket_notification_configuration(Bucket=name)
    assert "Status" not in ADMIN.get_bucket_accelerate_configuration(Bucket=name)
    assert ADMIN.get_bucket_request_payment(Bucket=name)["Payer"] == "BucketOwner"
    refused("NotImplemented", ADMIN.put_bucket_website, Bucket=name,
            WebsiteConfiguration={"IndexDocument": {"Suffix": "i.html"}})
    refused("NotImplemented", ADMIN.put_object_legal_hold, Bucket=name, Key="k",
            LegalHold={"Status": "ON"})
    refused("InvalidRequest", ADMIN.put_object, Bucket=name, Key="k",
            ObjectLockLegalHoldStatus="ON")


def main():
    wanted = sys.argv[1:]
    failed = []
    for function in CHECKS:
        if wanted and function.__name__ not in wanted:
            continue
        try:
            function()
            print(f"ok      {function.__name__}", flush=True)
        except Exception:
            failed.append(function.__name__)
            print(f"FAILED  {function.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"{len(CHECKS) - len(failed)} of {len(CHECKS)} checks hold")
    sys.exit(1 if failed else 0)


main()
