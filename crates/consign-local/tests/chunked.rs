//! Uploads in `aws-chunked` framing: what SDKs send, and what an attacker would.

use crate::support::{Answer, Ask, Cloud, Signer, mac, sha256};

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// An upload in chunks, every part of it open to bending.
struct Upload {
    chunks: Vec<Vec<u8>>,
    trailers: Vec<(String, String)>,
    announced: Vec<String>,
    decoded: String,
    signed: bool,
}

impl Upload {
    fn of(chunks: &[&[u8]]) -> Upload {
        let total: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        Upload {
            chunks: chunks.iter().map(|chunk| chunk.to_vec()).collect(),
            trailers: Vec::new(),
            announced: Vec::new(),
            decoded: total.to_string(),
            signed: true,
        }
    }

    fn unsigned(mut self) -> Upload {
        self.signed = false;
        self
    }

    fn trailer(mut self, name: &str, value: &str) -> Upload {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self.announced.push(name.to_owned());
        self
    }

    fn word(&self) -> &'static str {
        match (self.signed, self.announced.is_empty()) {
            (true, true) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            (true, false) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            (false, _) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }
    }

    fn ask(&self, cloud: &Cloud, signer: &Signer) -> Ask {
        let mut ask = cloud
            .ask("PUT", "/bucket-a/streamed")
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &self.decoded);
        if !self.announced.is_empty() {
            ask = ask.header("x-amz-trailer", &self.announced.join(","));
        }
        let mut ask = signer.clone().payload(self.word()).sign(ask);
        let (_, seed) = ask.headers.last().expect("authorization").1.rsplit_once('=').expect("=");
        ask.body = self.body(signer, seed);
        ask
    }

    fn body(&self, signer: &Signer, seed: &str) -> Vec<u8> {
        let mut body = Vec::new();
        let mut previous = seed.to_owned();
        let sign = |kind: &str, previous: &str, rest: &str| {
            let (date, scope) = (signer.timestamp(), signer.scope());
            let text = format!("{kind}\n{date}\n{scope}\n{previous}\n{rest}");
            hex::encode(mac(&signer.key(), text.as_bytes()))
        };
        let chunks = self.chunks.iter().map(Vec::as_slice).chain([&[] as &[u8]]);
        for chunk in chunks {
            if self.signed {
                let rest = format!("{EMPTY}\n{}", sha256(chunk));
                previous = sign("AWS4-HMAC-SHA256-PAYLOAD", &previous, &rest);
                body.extend(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).bytes());
            } else {
                body.extend(format!("{:x}\r\n", chunk.len()).bytes());
            }
            if !chunk.is_empty() {
                body.extend(chunk);
                body.extend(b"\r\n");
            }
        }
        let mut text = String::new();
        for (name, value) in &self.trailers {
            text.push_str(&format!("{name}:{value}\n"));
            body.extend(format!("{name}:{value}\r\n").bytes());
        }
        if self.signed && !self.announced.is_empty() {
            let signature = sign("AWS4-HMAC-SHA256-TRAILER", &previous, &sha256(text.as_bytes()));
            body.extend(format!("x-amz-trailer-signature:{signature}\r\n").bytes());
        }
        body.extend(b"\r\n");
        body
    }
}

async fn cloud() -> Cloud {
    let cloud = Cloud::start().await;
    cloud.make_bucket("bucket-a").await;
    cloud
}

/// A ramp with a prime period, so that a misplaced byte shows.
fn ramp(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).expect("under 251")).collect()
}

fn crc32(bytes: &[u8]) -> String {
    use base64::Engine;
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes);
    let crc = u32::try_from(crc).expect("32 bits");
    base64::engine::general_purpose::STANDARD.encode(crc.to_be_bytes())
}

#[tokio::test]
async fn every_framing_arrives_whole() {
    let cloud = cloud().await;
    let signer = cloud.s3();
    let (one, two) = (ramp(65_536), ramp(8_192));
    let all = |parts: &[&[u8]]| parts.concat();
    let cases: [(&str, Upload, Vec<u8>); 6] = [
        ("signed chunks", Upload::of(&[&one, &two, b"end"]), all(&[&one, &two, b"end"])),
        ("one small chunk", Upload::of(&[b"hello"]), b"hello".to_vec()),
        ("nothing", Upload::of(&[]), Vec::new()),
        (
            "a signed trailer",
            Upload::of(&[&one, b"end"])
                .trailer("x-amz-checksum-crc32", &crc32(&all(&[&one, b"end"]))),
            all(&[&one, b"end"]),
        ),
        (
            "unsigned with a trailer, in small chunks",
            Upload::of(&[b"a", b"bc", b"def"])
                .unsigned()
                .trailer("x-amz-checksum-crc32", &crc32(b"abcdef")),
            b"abcdef".to_vec(),
        ),
        ("unsigned without trailers", Upload::of(&[b"abc"]).unsigned(), b"abc".to_vec()),
    ];
    for (what, upload, content) in cases {
        let answer = cloud.send(&upload.ask(&cloud, &signer)).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        let back = cloud.get("/bucket-a/streamed").await;
        assert!(back.body == content, "{what}: {} bytes came back", back.body.len());
        let encoding = back.header("content-encoding");
        assert!(
            encoding.is_none_or(|value| !value.contains("aws-chunked")),
            "{what}: {encoding:?}"
        );
    }
}

#[tokio::test]
async fn bent_framings_leave_no_object() {
    let cloud = cloud().await;
    let signer = cloud.s3();
    let block = ramp(8_192);
    let honest = || Upload::of(&[&block, &block, b"end"]);
    let bend = |upload: Upload, bend: &dyn Fn(&mut Vec<u8>)| {
        let mut ask = upload.ask(&cloud, &signer);
        bend(&mut ask.body);
        ask
    };
    let find = |body: &[u8], text: &[u8]| {
        body.windows(text.len()).position(|window| window == text).expect("it is there")
    };
    let replace = |from: &'static [u8], to: &'static [u8]| {
        move |body: &mut Vec<u8>| {
            let at = find(body, from);
            body.splice(at..at + from.len(), to.iter().copied());
        }
    };
    let mismatch = (403, "SignatureDoesNotMatch");
    let incomplete = (400, "IncompleteBody");
    let trailer = (400, "MalformedTrailerError");
    let unsigned = || Upload::of(&[b"abcdef"]).unsigned();
    let with_sum = || unsigned().trailer("x-amz-checksum-crc32", &crc32(b"abcdef"));
    let signed_sum = || Upload::of(&[b"abcdef"]).trailer("x-amz-checksum-crc32", &crc32(b"abcdef"));
    let chunk_bytes = "2000;chunk-signature=".len() + 64 + 2 + block.len() + 2;
    let cases: Vec<(&str, Ask, (u16, &str))> = vec![
        ("a flipped byte", bend(honest(), &|body| body[200] ^= 1), mismatch),
        (
            "a flipped byte in the last chunk",
            bend(honest(), &replace(b"\r\nend\r\n", b"\r\nenq\r\n")),
            mismatch,
        ),
        (
            "chunks swapped",
            {
                let other = ramp(8_193)[1..].to_vec();
                let upload = Upload::of(&[&block, &other, b"end"]);
                bend(upload, &|body| body[..2 * chunk_bytes].rotate_left(chunk_bytes))
            },
            mismatch,
        ),
        ("a chunk dropped", bend(honest(), &|body| drop(body.drain(..chunk_bytes))), mismatch),
        (
            "a chunk twice",
            bend(honest(), &|body| {
                let first = body[..chunk_bytes].to_vec();
                body.splice(0..0, first);
            }),
            mismatch,
        ),
        (
            "no signature in a chunk",
            bend(honest(), &replace(b"2000;chunk-signature=", b"2000;chunk_signature=")),
            mismatch,
        ),
        (
            "the last chunk missing",
            bend(honest(), &|body| {
                let at = find(body, b"\r\n0;");
                body.truncate(at + 2);
            }),
            incomplete,
        ),
        ("cut in the middle", bend(honest(), &|body| body.truncate(5_000)), incomplete),
        ("bytes behind the end", bend(honest(), &|body| body.extend(b"more")), incomplete),
        (
            "small chunks before the last",
            Upload::of(&[b"a", b"b", b"c"]).ask(&cloud, &signer),
            (403, "InvalidChunkSizeError"),
        ),
        (
            "more than declared",
            Upload { decoded: "5".into(), ..unsigned() }.ask(&cloud, &signer),
            incomplete,
        ),
        (
            "less than declared",
            Upload { decoded: "7".into(), ..unsigned() }.ask(&cloud, &signer),
            incomplete,
        ),
        (
            "a declared length that is none",
            Upload { decoded: "+6".into(), ..unsigned() }.ask(&cloud, &signer),
            (400, "InvalidArgument"),
        ),
        (
            "a declared length beyond 64 bits",
            Upload { decoded: "99999999999999999999".into(), ..unsigned() }.ask(&cloud, &signer),
            (400, "InvalidArgument"),
        ),
        (
            "a size beyond 64 bits",
            bend(unsigned(), &replace(b"6\r\n", b"10000000000000006\r\n")),
            incomplete,
        ),
        (
            "the largest size",
            bend(unsigned(), &replace(b"6\r\n", b"ffffffffffffffff\r\n")),
            incomplete,
        ),
        ("a negative size", bend(unsigned(), &replace(b"6\r\n", b"-6\r\n")), incomplete),
        ("a size that is none", bend(unsigned(), &replace(b"6\r\n", b"0x6\r\n")), incomplete),
        ("no size", bend(unsigned(), &replace(b"6\r\n", b"\r\n")), incomplete),
        (
            "a size line without end",
            bend(unsigned(), &|body| {
                body.splice(0..0, vec![b'0'; 100_000]);
            }),
            incomplete,
        ),
        ("a bare LF", bend(unsigned(), &replace(b"6\r\n", b"6\n")), incomplete),
        (
            "a chunk longer than it says",
            bend(Upload { decoded: "5".into(), ..unsigned() }, &replace(b"6\r\n", b"5\r\n")),
            incomplete,
        ),
        (
            "an announced trailer missing",
            bend(with_sum(), &|body| {
                let at = find(body, b"x-amz-checksum");
                body.truncate(at);
                body.extend(b"\r\n");
            }),
            trailer,
        ),
        (
            "a trailer not announced",
            bend(unsigned(), &replace(b"0\r\n", b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n")),
            trailer,
        ),
        (
            "a trailer that is a header",
            bend(with_sum(), &replace(b"0\r\n", b"0\r\nx-amz-acl:public-read\r\n")),
            trailer,
        ),
        (
            "a trailer without a colon",
            bend(with_sum(), &replace(b"0\r\n", b"0\r\nnonsense\r\n")),
            trailer,
        ),
        (
            "a trailer twice",
            bend(with_sum(), &replace(b"0\r\n", b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n")),
            trailer,
        ),
        (
            "a wrong checksum in the trailer",
            unsigned().trailer("x-amz-checksum-crc32", "AAAAAA==").ask(&cloud, &signer),
            (400, "BadDigest"),
        ),
        ("a signed trailer changed", bend(signed_sum(), &replace(b"crc32:", b"crc32:A")), mismatch),
        (
            "a signed trailer's signature missing",
            bend(signed_sum(), &|body| {
                let at = find(body, b"x-amz-trailer-signature");
                body.truncate(at);
                body.extend(b"\r\n");
            }),
            mismatch,
        ),
        (
            "an unsigned upload with a trailer signature",
            bend(with_sum(), &replace(b"0\r\n", b"0\r\nx-amz-trailer-signature:00\r\n")),
            trailer,
        ),
    ];
    for (what, ask, (status, code)) in cases {
        send_all(&cloud, &ask).await.expect(what, status, code);
        cloud.get("/bucket-a/streamed").await.expect(what, 404, "NoSuchKey");
    }
    let mut no_length = unsigned().ask(&cloud, &signer);
    no_length.headers.retain(|(name, _)| name != "x-amz-decoded-content-length");
    let ask = signer
        .clone()
        .payload("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
        .sign(Ask { headers: vec![("host".into(), cloud.host().into())], ..no_length });
    cloud.send(&ask).await.expect("no declared length", 411, "MissingContentLength");
    let words = ["STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "", "unsigned-payload", "abc"];
    for word in words {
        let ask = cloud.ask("PUT", "/bucket-a/streamed").body("x");
        let answer = cloud.send(&signer.clone().payload(word).sign(ask)).await;
        answer.expect(word, 400, "InvalidArgument");
    }
}

/// Bodies that end early need a half-closed connection.
async fn send_all(cloud: &Cloud, ask: &Ask) -> Answer {
    cloud.send(ask).await
}
