//! Object metadata from a bucket, one `name=value` per line: whatever is read as complete is written
//! back as the same thing, and nobody opens it with a key it was not sealed for.
#![no_main]

use consign_seal::s3ec::{
    AesKey, CommitmentPolicy, DataKey, ExpectedContext, MetadataRead, OpenPolicy, read_metadata,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let Ok(MetadataRead::Header(header)) = read_metadata(pairs) else { return };
    let beside = header.to_metadata_beside_instruction_file();
    let file = header.to_instruction_file();
    if let Ok(MetadataRead::Pending(pending)) = read_metadata(&beside) {
        assert!(pending.with_instruction_file(file.as_bytes()).is_ok_and(|read| read == header));
    }
    let policy = OpenPolicy {
        commitment: CommitmentPolicy::RequireEncryptAllowDecrypt,
        legacy_wrapping: true,
        legacy_content: true,
        unauthenticated_ranges: false,
        context: ExpectedContext::AsStored,
    };
    let Ok(admitted) = header.admit(&policy) else { return };
    let unwrapped = AesKey::from_bytes(&[7; 32]).unwrap(&admitted.wanted());
    let Ok(key) = unwrapped.or_else(|_| DataKey::from_bytes(&[7; 32])) else { return };
    if let Ok(opener) = admitted.open(&key) {
        let _ = opener.open_all(text.as_bytes().to_vec());
    }
});
