//! Archives that Python writes: of one file they are read, all others are refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;

use consign_s3s2::{ErrorKind, unpack};

/// What Python makes of `code`, which has `z`, a `zipfile.ZipFile`, and `out`, what it writes to.
fn python(code: &str) -> Option<Vec<u8>> {
    let script = format!(
        "import io, sys, gzip, zipfile\nout = io.BytesIO()\n\
         z = zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED)\n{code}\nz.close()\n\
         sys.stdout.buffer.write(gzip.compress(out.getvalue()))"
    );
    let Ok(output) = Command::new("python3").args(["-c", &script]).output() else {
        eprintln!("SKIPPED archives: python3 is missing");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

#[test]
fn one_file_is_read_however_it_was_written() {
    for (code, entry, bytes) in [
        ("z.writestr('/plain.csv', b'x' * 1000)", "/plain.csv", 1000),
        ("z.writestr('C:\\\\up\\\\b.csv', b'y' * 1000)", "C:\\up\\b.csv", 1000),
        ("z.writestr('stored', b'z', zipfile.ZIP_STORED)", "stored", 1),
        ("z.writestr('empty', b'')", "empty", 0),
        (
            "h = z.open('wide', 'w', force_zip64=True); h.write(b'w' * 70000); h.close()",
            "wide",
            70_000,
        ),
        ("z.writestr('comment', b'c'); z.comment = b'hello'", "comment", 1),
        (
            "out.seekable = lambda: False; z._seekable = False; z.writestr('piped', b'p' * 9)",
            "piped",
            9,
        ),
    ] {
        let Some(packed) = python(code) else { return };
        let mut content = Vec::new();
        let found = unpack(&packed, &mut content, 100).unwrap_or_else(|e| panic!("{code}: {e:?}"));
        assert_eq!((found.entry.as_str(), found.bytes), (entry, bytes), "{code}");
        assert_eq!(content.len() as u64, bytes);
        // No cut goes unseen.
        for cut in 0..packed.len() {
            unpack(&packed[..cut], &mut Vec::new(), 100).unwrap_err();
        }
    }
}

#[test]
fn anything_else_is_refused() {
    for (code, kind) in [
        ("z.writestr('x', b'1'); z.writestr('y', b'2')", ErrorKind::Content),
        ("pass", ErrorKind::Content),
        ("z.writestr('x/', b'')", ErrorKind::Content),
        ("z.writestr('x', b'1', zipfile.ZIP_BZIP2)", ErrorKind::Content),
        ("z.writestr('x', b'1'); z.close(); out.write(b'trailing')", ErrorKind::Content),
        (
            "out.write(b'leading'); z = zipfile.ZipFile(out, 'a'); z.writestr('x', b'1')",
            ErrorKind::Content,
        ),
        (
            "i = zipfile.ZipInfo('x'); i.create_system = 3; i.external_attr = 0o120777 << 16; \
             z.writestr(i, '/etc/passwd')",
            ErrorKind::Content,
        ),
    ] {
        let Some(packed) = python(code) else { return };
        let error = unpack(&packed, &mut std::io::sink(), 100).unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error:?}");
    }
    for bytes in [&b""[..], b"PK", b"hello", b"\x1f\x8b"] {
        assert_eq!(unpack(bytes, &mut Vec::new(), 100).unwrap_err().kind(), ErrorKind::Content);
    }
}
