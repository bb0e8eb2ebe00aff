//! What must hold for every content, every division of the work and every input.

use std::io::{Read, Write};

use crate::common::{opener, ramp};
use consign_seal::age::{
    self, CHUNK_BYTES, Identity, OpenReader, Recipient, SEALED_CHUNK_BYTES, SealWriter, Sealer,
    TAG_BYTES, sealed_payload_bytes,
};
use consign_seal::sshsig::{self, SigningKey, VerifyingKey};
use proptest::prelude::*;

/// Lengths that crowd around the edges of chunks.
fn lengths() -> impl Strategy<Value = usize> {
    let near = (0usize..4, -20i64..20).prop_map(|(chunks, offset)| {
        usize::try_from((chunks * CHUNK_BYTES) as i64 + offset).unwrap_or_default()
    });
    prop_oneof![near, 0usize..3 * CHUNK_BYTES]
}

/// Cuts `chunks` chunks into runs of the given lengths.
fn runs(chunks: usize, lengths: &[usize]) -> Vec<std::ops::Range<usize>> {
    let (mut runs, mut at) = (Vec::new(), 0);
    let mut lengths = lengths.iter().cycle();
    while at < chunks {
        let end = chunks.min(at + lengths.next().copied().unwrap_or(1));
        runs.push(at..end);
        at = end;
    }
    runs
}

/// Content laid out for sealing in place.
fn with_gaps(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in plain.chunks(CHUNK_BYTES) {
        out.extend_from_slice(chunk);
        out.extend_from_slice(&[0xee; TAG_BYTES]);
    }
    if plain.is_empty() { vec![0xee; TAG_BYTES] } else { out }
}

/// Threads share them by reference.
const fn shared_between_threads<T: Send + Sync>() {}
const _: () = {
    shared_between_threads::<Sealer>();
    shared_between_threads::<age::Opener>();
    shared_between_threads::<Identity>();
    shared_between_threads::<SigningKey>();
    shared_between_threads::<consign_seal::Error>();
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_in_any_division_and_order_give_the_same_file(
        length in lengths(),
        division in prop::collection::vec(1usize..4, 1..4),
        opening in prop::collection::vec(1usize..4, 1..4),
        backwards: bool,
    ) {
        let identity = Identity::generate().unwrap();
        let first = Sealer::new(&[identity.to_recipient()]).unwrap();
        // Half of the work by a sealer that was saved and read again.
        let second = Sealer::from_secret_bytes(&first.to_secret_bytes()).unwrap();
        let plain = ramp(length);
        let mut in_place = with_gaps(&plain);
        let mut dense = vec![0; in_place.len()];
        prop_assert_eq!(in_place.len() as u64, sealed_payload_bytes(length as u64));
        let chunks = in_place.len().div_ceil(SEALED_CHUNK_BYTES);

        let mut order = runs(chunks, &division);
        if backwards {
            order.reverse();
        }
        for run in order {
            let last = run.end == chunks;
            let from = run.start * SEALED_CHUNK_BYTES;
            let to = in_place.len().min(run.end * SEALED_CHUNK_BYTES);
            first.seal_run(run.start as u64, last, &mut in_place[from..to]).unwrap();
            let content = &plain[run.start * CHUNK_BYTES..length.min(run.end * CHUNK_BYTES)];
            second.seal_into(run.start as u64, last, content, &mut dense[from..to]).unwrap();
        }
        prop_assert!(in_place == dense);

        let sealed = [first.prefix(), &dense].concat();
        prop_assert!(age::open_all(std::slice::from_ref(&identity), &sealed).unwrap() == plain);
        let (start, opener) = opener(&identity, &sealed);
        let opener = opener.expecting(length as u64);
        let mut opened = vec![0; length];
        for run in runs(chunks, &opening).into_iter().rev() {
            let last = run.end == chunks;
            let from = start + run.start * SEALED_CHUNK_BYTES;
            let to = sealed.len().min(start + run.end * SEALED_CHUNK_BYTES);
            let out = &mut opened[run.start * CHUNK_BYTES..];
            opener.open_into(run.start as u64, last, &sealed[from..to], out).unwrap();
        }
        prop_assert!(opened == plain);
    }

    #[test]
    fn streams_in_any_pieces_give_the_content_back(
        length in lengths(),
        writing in 1usize..100_000,
        reading in 1usize..100_000,
        recipients in 1usize..5,
    ) {
        let identities: Vec<Identity> =
            (0..recipients).map(|_| Identity::generate().unwrap()).collect();
        let public: Vec<Recipient> = identities.iter().map(Identity::to_recipient).collect();
        let plain = ramp(length);
        let mut writer = SealWriter::new(Vec::new(), &public).unwrap();
        for piece in plain.chunks(writing) {
            writer.write_all(piece).unwrap();
            writer.flush().unwrap();
        }
        let sealed = writer.finish().unwrap();
        // Any one of the recipients can open it.
        let mine = identities[length % recipients].clone();
        let mut reader = OpenReader::new(sealed.as_slice(), &[mine]).unwrap();
        let (mut opened, mut piece) = (Vec::new(), vec![0; reading]);
        loop {
            match reader.read(&mut piece).unwrap() {
                0 => break,
                count => opened.extend_from_slice(&piece[..count]),
            }
        }
        prop_assert!(opened == plain);
    }

    #[test]
    fn a_saved_sealer_that_is_damaged_is_refused(place in 0usize..300, bit in 0u8..8) {
        let sealer = Sealer::new(&[Identity::generate().unwrap().to_recipient()]).unwrap();
        let saved = sealer.to_secret_bytes();
        let place = place % saved.len();
        let mut changed = saved.to_vec();
        changed[place] ^= 1 << bit;
        prop_assert!(Sealer::from_secret_bytes(&changed).is_err());
        prop_assert!(Sealer::from_secret_bytes(&saved[..place]).is_err());
    }

    #[test]
    fn keys_go_round_and_every_typing_error_is_found(place in 0usize..74, letter in "[!-~]") {
        let identity = Identity::generate().unwrap();
        let secret = identity.secret_text();
        let again = Identity::parse(&secret).unwrap();
        prop_assert_eq!(again.to_recipient(), identity.to_recipient());
        let public = identity.to_recipient().to_string();
        prop_assert_eq!(public.parse::<Recipient>().unwrap(), identity.to_recipient());

        for text in [public, secret.to_string()] {
            let mut changed = text.clone();
            let place = place % text.len();
            changed.replace_range(place..=place, &letter);
            if changed != text {
                prop_assert!(Recipient::parse(&changed).is_err());
                prop_assert!(Identity::parse(&changed).is_err());
            }
        }
    }

    #[test]
    fn no_input_makes_the_readers_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        start in prop::sample::select(vec![
            "",
            "age-encryption.org/v1\n",
            "age-encryption.org/v1\n-> X25519 ",
            "age-encryption.org/v1\n-> x\nAAAA\n--- ",
            "-----BEGIN AGE ENCRYPTED FILE-----\n",
            "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAAAQ",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA",
        ]),
    ) {
        let input = [start.as_bytes(), &bytes].concat();
        let identity = Identity::generate().unwrap();
        prop_assert!(age::open_all(std::slice::from_ref(&identity), &input).is_err());
        prop_assert!(OpenReader::new(input.as_slice(), &[identity]).is_err());
        prop_assert!(Sealer::from_secret_bytes(&input).is_err());
        let text = String::from_utf8_lossy(&input);
        prop_assert!(age::parse_identity_file(&text).is_err());
        prop_assert!(Recipient::parse(&text).is_err());
        prop_assert!(SigningKey::from_openssh(&text).is_err());
        prop_assert!(VerifyingKey::parse(&text).is_err());
        prop_assert!(sshsig::verify(&[], "n", b"", &text).is_err());
    }
}
