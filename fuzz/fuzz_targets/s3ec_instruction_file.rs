//! An instruction file from a bucket, beside an object whose own metadata says V3 and beside one whose
//! metadata says nothing: whatever is read is written back as the same thing.
#![no_main]

use consign_seal::s3ec::{MetadataRead, read_metadata};
use libfuzzer_sys::fuzz_target;

const V3: [(&str, &str); 3] = [
    ("x-amz-c", "115"),
    ("x-amz-d", "+JgYvAo0bTo0JraOlQm2sq5f4fkEqjKftzYl2w=="),
    ("x-amz-i", "uOp2vtJMe4U4KhSMudzRz9+3ZfVd7U36bgxMeQ=="),
];

fuzz_target!(|file: &[u8]| {
    for metadata in [&V3[..], &[]] {
        let Ok(MetadataRead::Pending(pending)) = read_metadata(metadata.iter().copied()) else {
            unreachable!("the data key is not in it")
        };
        let Ok(header) = pending.clone().with_instruction_file(file) else { continue };
        let again = pending.with_instruction_file(header.to_instruction_file().as_bytes());
        assert!(again.is_ok_and(|again| again == header));
    }
});
