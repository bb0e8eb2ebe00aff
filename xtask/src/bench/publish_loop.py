"""What a publisher is where nobody has consign: receive a message, copy the object, delete the message.

`python publish_loop.py QUEUE INBOX COUNT THREADS` ends with 0 when it has copied COUNT objects. Like
consign it copies only what is not there; it leaves no record, compares no checksum and gives no reason.
"""

import json
import os
import sys
import threading
from urllib.parse import unquote_plus

import boto3
from botocore.config import Config

queue, inbox, wanted, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
settings = Config(max_pool_connections=threads)
sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=settings)
s3 = boto3.client("s3", config=settings)
queue_url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
copied = 0
lock = threading.Lock()


def publish():
    global copied
    while copied < wanted:
        answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            for record in json.loads(message["Body"]).get("Records", []):
                told = record["s3"]["object"]
                source = {"Bucket": record["s3"]["bucket"]["name"], "Key": unquote_plus(told["key"])}
                source["VersionId"] = told["versionId"]
                s3.copy_object(Bucket=inbox, Key=source["Key"], CopySource=source, IfNoneMatch="*")
                with lock:
                    copied += 1
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


workers = [threading.Thread(target=publish, daemon=True) for _ in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
