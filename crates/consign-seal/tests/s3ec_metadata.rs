//! Metadata of the S3 Encryption Client: what is written reads the same, and whatever else somebody
//! with access to the bucket may put there is refused with one sentence.

use crate::common::s3ec::{
    WRITTEN, anything, assert_does_not_open, header, opener, pairs, policy_for, rsa,
};
use crate::common::{self, ramp};
use consign_seal::s3ec::{
    self, AesKey, CommitmentPolicy, DataKey, ExpectedContext, Format, Header,
    INSTRUCTION_FILE_BYTES_MAX, KeyRequest, MetadataRead, OpenPolicy, Pairs, Pending, Sealer,
    Suite, Wrap, WrappedKey, kms_context,
};
use consign_seal::{Error, ErrorKind};

/// A header of each format and kind of key that is written.
fn written() -> Vec<Header> {
    let (aes, rsa, key) =
        (AesKey::generate().unwrap(), rsa().public_key(), DataKey::generate().unwrap());
    let about = pairs(&[("exchange", "acme-globex"), ("object", "Größe № 7")]);
    let mut headers = Vec::new();
    for suite in WRITTEN {
        for wrapped in [
            WrappedKey::from_kms(suite, vec![7; 184], &about).unwrap(),
            aes.wrap(suite, &key, &about).unwrap(),
            rsa.wrap(suite, &key, &about).unwrap(),
        ] {
            let sealer = Sealer::new(policy_for(suite), &key, wrapped).unwrap();
            headers.push(sealer.header().clone());
        }
    }
    headers
}

/// V1, and V2 with AES-CBC: only read, so written by hand.
fn legacy() -> [Pairs; 3] {
    let iv = ("x-amz-iv", "AAECAwQFBgcICQoLDA0ODw==");
    let description = ("x-amz-matdesc", "{\"kms_cmk_id\":\"alias/old\"}");
    let wrapped = "c2V2ZW50eS10d28gYnl0ZXM=";
    let v1 = pairs(&[iv, ("x-amz-matdesc", "{}"), ("x-amz-key", wrapped)]);
    let v2 = |cipher, iv| {
        let rest =
            [("x-amz-key-v2", wrapped), ("x-amz-wrap-alg", "kms"), ("x-amz-cek-alg", cipher)];
        pairs(&[iv, description, rest[0], rest[1], rest[2]])
    };
    let mut gcm = v2("AES/GCM/NoPadding", ("x-amz-iv", "AAECAwQFBgcICQoL"));
    gcm.insert("x-amz-tag-len".to_owned(), "128".to_owned());
    [v1, v2("AES/CBC/PKCS5Padding", iv), gcm]
}

fn pending(metadata: &Pairs) -> Result<Pending, Error> {
    match s3ec::read_metadata(metadata)? {
        MetadataRead::Pending(pending) => Ok(pending),
        MetadataRead::Header(header) => panic!("complete: {header:?}"),
    }
}

fn read_list(list: &[(&str, &str)]) -> Result<MetadataRead, Error> {
    s3ec::read_metadata(list.iter().copied())
}

#[test]
fn object_metadata_reads_back() {
    for written in written() {
        let metadata = written.to_metadata().unwrap();
        assert_eq!(header(&metadata).unwrap(), written);
        assert!(metadata.keys().all(|key| key.starts_with("x-amz-") && !key.contains("meta-")));
        assert!(metadata.values().all(|value| value.is_ascii()));
    }
}

#[test]
fn metadata_has_the_keys_of_its_format_and_no_others() {
    for written in written() {
        let metadata = written.to_metadata().unwrap();
        let keys: Vec<&str> = metadata.keys().map(String::as_str).collect();
        let about = if written.wrap() == Wrap::KmsContext { "x-amz-t" } else { "x-amz-m" };
        match written.format() {
            Format::V3 => {
                let mut expected =
                    vec!["x-amz-3", "x-amz-c", "x-amz-d", "x-amz-i", about, "x-amz-w"];
                expected.sort_unstable();
                assert_eq!(keys, expected);
                assert_eq!(metadata["x-amz-c"], "115");
                let wrap = match written.wrap() {
                    Wrap::KmsContext => "12",
                    Wrap::AesGcm => "02",
                    _ => "22",
                };
                assert_eq!(metadata["x-amz-w"], wrap);
            }
            _ => {
                let expected = [
                    "x-amz-cek-alg",
                    "x-amz-iv",
                    "x-amz-key-v2",
                    "x-amz-matdesc",
                    "x-amz-tag-len",
                    "x-amz-wrap-alg",
                ];
                assert_eq!(keys, expected);
                assert_eq!(metadata["x-amz-cek-alg"], "AES/GCM/NoPadding");
                assert_eq!(metadata["x-amz-tag-len"], "128");
            }
        }
    }
}

#[test]
fn instruction_files_read_back() {
    for written in written() {
        let beside = written.to_metadata_beside_instruction_file();
        let file = written.to_instruction_file();
        let json: Pairs = serde_json::from_str(&file).unwrap();
        match written.format() {
            Format::V3 => {
                assert!(beside.keys().eq(["x-amz-c", "x-amz-d", "x-amz-i"]), "{beside:?}");
                assert!(beside.keys().all(|key| !json.contains_key(key)));
                assert!(json.contains_key("x-amz-3") && json.contains_key("x-amz-w"));
                assert!(json.contains_key("x-amz-t") || json.contains_key("x-amz-m"));
            }
            _ => {
                assert!(beside.is_empty(), "{beside:?}");
                assert_eq!(json.len(), 6);
            }
        }
        let pending = pending(&beside).unwrap();
        assert_eq!(pending.is_sealed(), written.format() == Format::V3);
        assert_eq!(pending.with_instruction_file(file.as_bytes()).unwrap(), written);
    }
}

#[test]
fn legacy_metadata_is_read() {
    let [v1, cbc, gcm] = legacy();
    let (v1, cbc, gcm) = (header(&v1).unwrap(), header(&cbc).unwrap(), header(&gcm).unwrap());
    assert_eq!((v1.format(), v1.suite(), v1.wrap()), (Format::V1, Suite::Cbc, Wrap::AesEcb));
    assert_eq!((cbc.format(), cbc.suite(), cbc.wrap()), (Format::V2, Suite::Cbc, Wrap::Kms));
    assert_eq!((gcm.format(), gcm.suite(), gcm.wrap()), (Format::V2, Suite::Gcm, Wrap::Kms));
}

#[test]
fn unrelated_metadata_is_ignored() {
    for written in written() {
        let mut metadata = written.to_metadata().unwrap();
        for (name, value) in [
            ("author", "acme"),
            ("x-amz-meta-x-amz-key", "not ours"),
            ("x-amz-unencrypted-content-length", "12"),
            ("x-amz-crypto-instr-file", ""),
        ] {
            metadata.insert(name.to_owned(), value.to_owned());
        }
        assert_eq!(header(&metadata).unwrap(), written);
    }
}

#[test]
fn names_are_read_in_any_case_of_letters() {
    for written in written() {
        let metadata = written.to_metadata().unwrap();
        let shouted: Pairs = metadata.into_iter().map(|(k, v)| (k.to_uppercase(), v)).collect();
        assert_eq!(header(&shouted).unwrap(), written);
    }
}

#[test]
fn a_stripped_key_is_refused() {
    for complete in written().iter().map(|h| h.to_metadata().unwrap()).chain(legacy()) {
        for stripped in complete.keys() {
            // Which of the two a V3 object has says how its key is wrapped; absent, it is empty.
            if stripped == "x-amz-m" {
                continue;
            }
            let mut metadata = complete.clone();
            metadata.remove(stripped);
            let policy = anything();
            let result = header(&metadata).and_then(|header| header.admit(&policy).map(drop));
            assert_does_not_open(result, &format!("without {stripped}"));
        }
    }
}

#[test]
fn a_v3_object_without_description_opens() {
    let wrapping = AesKey::generate().unwrap();
    let sealer = common::s3ec::sealer(Suite::GcmCommitted, &wrapping);
    let sealed = sealer.seal_all(ramp(100)).unwrap();
    let mut metadata = sealer.header().to_metadata().unwrap();
    assert_eq!(metadata.remove("x-amz-m").unwrap(), "{}");
    let header = header(&metadata).unwrap();
    assert_eq!(header.context(), Pairs::new());
    assert!(opener(&header, &wrapping).unwrap().open_all(sealed).unwrap() == ramp(100));
}

#[test]
fn metadata_stripped_of_everything_is_no_sealed_object() {
    let nothing = pending(&pairs(&[("author", "acme")])).unwrap();
    assert!(!nothing.is_sealed());
    assert_eq!(nothing.without_instruction_file().kind(), ErrorKind::NotSealed);
}

#[test]
fn a_missing_instruction_file_of_a_v3_object_is_refused() {
    let v3 = written().pop().unwrap();
    let pending = pending(&v3.to_metadata_beside_instruction_file()).unwrap();
    assert_does_not_open::<()>(Err(pending.without_instruction_file()), "no instruction file");
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    for complete in written().iter().map(|h| h.to_metadata().unwrap()).chain(legacy()) {
        for (name, value) in &complete {
            let mut list: Vec<(&str, &str)> =
                complete.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let shouted = name.to_uppercase();
            list.push((&shouted, value));
            assert_does_not_open(read_list(&list), &format!("{name} twice"));
            // As HTTP joins two headers of one name.
            let mut joined = complete.clone();
            joined.insert(name.clone(), format!("{value},{value}"));
            assert_does_not_open(header(&joined), &format!("{name} joined"));
        }
    }
}

#[test]
fn metadata_of_two_formats_is_refused() {
    let all: Vec<Pairs> =
        written().iter().map(|h| h.to_metadata().unwrap()).chain(legacy()).collect();
    for one in &all {
        for other in &all {
            for (name, value) in other.iter().filter(|(name, _)| !one.contains_key(*name)) {
                // Both kinds of description may stand in V3, if the one that is not used is empty.
                if ["x-amz-m", "x-amz-t"].contains(&name.as_str()) && value == "{}" {
                    continue;
                }
                let mut mixed = one.clone();
                mixed.insert(name.clone(), value.clone());
                assert_does_not_open(header(&mixed), &format!("{name} added to {:?}", one.keys()));
            }
        }
    }
}

#[test]
fn values_that_no_client_writes_are_refused() {
    let (v2, v3) = {
        let all = written();
        (all[0].to_metadata().unwrap(), all[3].to_metadata().unwrap())
    };
    let legacy = legacy();
    let cases: [(&Pairs, &str, &str); 27] = [
        (&v2, "x-amz-cek-alg", "AES/CTR/NoPadding"),
        (&v2, "x-amz-cek-alg", "115"),
        (&v2, "x-amz-cek-alg", "aes/gcm/nopadding"),
        (&v2, "x-amz-wrap-alg", "12"),
        (&v2, "x-amz-wrap-alg", "RSA"),
        (&v2, "x-amz-wrap-alg", ""),
        (&v2, "x-amz-tag-len", "96"),
        (&v2, "x-amz-tag-len", "16"),
        (&v2, "x-amz-iv", "AAECAwQFBgcICQoLDA0ODw=="),
        (&v2, "x-amz-iv", "AAECAwQFBgcICQ=="),
        (&v2, "x-amz-iv", "AAECAwQFBgcICQoL "),
        (&v2, "x-amz-key-v2", ""),
        (&v2, "x-amz-key-v2", "!"),
        (&v2, "x-amz-matdesc", "{\"a\":\"b\",\"a\":\"b\"}"),
        (&v2, "x-amz-matdesc", "{\"a\":1}"),
        (&v2, "x-amz-matdesc", "[]"),
        (&v2, "x-amz-matdesc", ""),
        (&v3, "x-amz-c", "AES/GCM/NoPadding"),
        (&v3, "x-amz-c", "114"),
        (&v3, "x-amz-c", "0115"),
        (&v3, "x-amz-w", "kms"),
        (&v3, "x-amz-w", "kms+context"),
        (&v3, "x-amz-w", "11"),
        (&v3, "x-amz-d", "AAAA"),
        (&v3, "x-amz-i", "AAECAwQFBgcICQoL"),
        (&legacy[0], "x-amz-iv", "AAECAwQFBgcICQoL"),
        (&legacy[1], "x-amz-tag-len", "128"),
    ];
    for (good, name, value) in cases {
        let mut changed = good.clone();
        changed.insert(name.to_owned(), value.to_owned());
        assert_does_not_open(header(&changed), &format!("{name} = {value}"));
    }
}

#[test]
fn instruction_files_of_anything_else_are_refused() {
    let (v2, v3) = {
        let all = written();
        (all[0].clone(), all[3].clone())
    };
    let beside = v3.to_metadata_beside_instruction_file();
    let with = |extra: &[(&str, &str)], file: &str| {
        let mut pairs: Pairs = serde_json::from_str(file).unwrap();
        pairs.extend(common::s3ec::pairs(extra));
        serde_json::to_string(&pairs).unwrap()
    };
    let (file2, file3) = (v2.to_instruction_file(), v3.to_instruction_file());
    let huge = format!("{}{file3}", " ".repeat(INSTRUCTION_FILE_BYTES_MAX));
    let twice = file3.replacen('{', "{\"x-amz-w\":\"12\",", 1);
    let own_commitment = with(&[("x-amz-d", &beside["x-amz-d"])], &file3);
    let own_cipher = with(&[("x-amz-c", "115")], &file3);
    let own_message = with(&[("x-amz-i", &beside["x-amz-i"])], &file3);
    let v2_key = with(&[("x-amz-key-v2", "AAAA")], &file3);
    let foreign = with(&[("author", "acme")], &file3);
    let trailing = format!("{file3} {{}}");
    let for_v3: [(&str, &str); 13] = [
        ("nothing", ""),
        ("no JSON", "x-amz-3"),
        ("no object", "[]"),
        ("empty", "{}"),
        ("a commitment of its own", &own_commitment),
        ("a cipher of its own", &own_cipher),
        ("a message id of its own", &own_message),
        ("a V2 key too", &v2_key),
        ("V2 instead", &file2),
        ("a foreign key", &foreign),
        ("a key twice", &twice),
        ("something after it", &trailing),
        ("too large", &huge),
    ];
    for (what, file) in for_v3 {
        let read = pending(&beside).unwrap().with_instruction_file(file.as_bytes());
        assert_does_not_open(read, what);
    }
    let not_text = pending(&beside).unwrap().with_instruction_file(b"\xff\xfe{}");
    assert_does_not_open(not_text, "not UTF-8");
    // The object's own metadata says nothing, so the instruction file must not say V3.
    let all = serde_json::to_string(&v3.to_metadata().unwrap()).unwrap();
    for file in [&file3, &all] {
        let read = pending(&Pairs::new()).unwrap().with_instruction_file(file.as_bytes());
        assert_does_not_open(read, "V3 in an instruction file alone");
    }
    // V2 content metadata in the object beside an instruction file.
    let mut left = v2.to_metadata().unwrap();
    left.remove("x-amz-key-v2");
    assert_does_not_open(s3ec::read_metadata(&left), "V2 in both places");
}

#[test]
fn swapped_metadata_opens_nothing() {
    let wrapping = AesKey::generate().unwrap();
    for suite in WRITTEN {
        let (one, other) =
            (common::s3ec::sealer(suite, &wrapping), common::s3ec::sealer(suite, &wrapping));
        let sealed = one.seal_all(ramp(100)).unwrap();
        let (mine, theirs) =
            (one.header().to_metadata().unwrap(), other.header().to_metadata().unwrap());
        let whole =
            header(&theirs).and_then(|header| opener(&header, &wrapping)?.open_all(sealed.clone()));
        assert_does_not_open(whole, "the metadata of another object");
        for (name, value) in theirs.iter().filter(|(name, value)| mine[*name] != **value) {
            let mut swapped = mine.clone();
            swapped.insert(name.clone(), value.clone());
            let opened = header(&swapped)
                .and_then(|header| opener(&header, &wrapping)?.open_all(sealed.clone()));
            assert_does_not_open(opened, &format!("{suite} with the other's {name}"));
        }
    }
}

/// The "invisible salamander": one ciphertext, two keys, two plaintexts, and an instruction file that
/// says which. The commitment is in the object and fits one of the keys only.
#[test]
fn another_data_key_in_the_instruction_file_is_refused_before_the_content_is_read() {
    let wrapping = AesKey::generate().unwrap();
    let sealer = common::s3ec::sealer(Suite::GcmCommitted, &wrapping);
    let other =
        wrapping.wrap(Suite::GcmCommitted, &DataKey::generate().unwrap(), &Pairs::new()).unwrap();
    let forged =
        Sealer::new(CommitmentPolicy::default(), &DataKey::generate().unwrap(), other).unwrap();
    let beside = sealer.header().to_metadata_beside_instruction_file();
    let file = forged.header().to_instruction_file();
    let header = pending(&beside).unwrap().with_instruction_file(file.as_bytes()).unwrap();
    let refused = opener(&header, &wrapping).unwrap_err();
    assert!(refused.detail().unwrap().contains("x-amz-d"), "{refused:?}");
    assert_does_not_open::<()>(Err(refused), "another data key");
}

#[test]
fn commitment_policies_say_what_seals_and_what_opens() {
    use CommitmentPolicy::{
        ForbidEncryptAllowDecrypt, RequireEncryptAllowDecrypt, RequireEncryptRequireDecrypt,
    };
    let cases = [
        (ForbidEncryptAllowDecrypt, "FORBID_ENCRYPT_ALLOW_DECRYPT", [true, false], [true, true]),
        (RequireEncryptAllowDecrypt, "REQUIRE_ENCRYPT_ALLOW_DECRYPT", [false, true], [true, true]),
        (
            RequireEncryptRequireDecrypt,
            "REQUIRE_ENCRYPT_REQUIRE_DECRYPT",
            [false, true],
            [false, true],
        ),
    ];
    let (wrapping, key) = (AesKey::generate().unwrap(), DataKey::generate().unwrap());
    for (commitment, name, seals, opens) in cases {
        assert_eq!(commitment.to_string(), name);
        for (i, suite) in WRITTEN.into_iter().enumerate() {
            let wrapped = wrapping.wrap(suite, &key, &Pairs::new()).unwrap();
            let sealed = Sealer::new(commitment, &key, wrapped);
            assert_eq!(sealed.is_ok(), seals[i], "{name} {suite}");
            let sealer = common::s3ec::sealer(suite, &wrapping);
            let policy = OpenPolicy { commitment, ..OpenPolicy::default() };
            let admitted = sealer.header().admit(&policy);
            assert_eq!(admitted.as_ref().map(drop).is_ok(), opens[i], "{name} {suite}");
            if let Err(refused) = admitted {
                assert_eq!(refused.kind(), ErrorKind::Weak);
                assert!(refused.to_string().contains(name), "{refused}");
            }
        }
    }
    assert_eq!(OpenPolicy::default().commitment, RequireEncryptRequireDecrypt);
}

#[test]
fn legacy_is_refused_unless_switched() {
    let [v1, cbc, gcm] = legacy().map(|metadata| header(&metadata).unwrap());
    let strict = OpenPolicy {
        commitment: CommitmentPolicy::RequireEncryptAllowDecrypt,
        ..OpenPolicy::default()
    };
    let content = OpenPolicy { legacy_content: true, ..strict.clone() };
    let wrapping = OpenPolicy { legacy_wrapping: true, ..strict.clone() };
    let both = OpenPolicy { legacy_wrapping: true, ..content.clone() };
    for (header, policy, opens) in [
        (&v1, &strict, false),
        (&v1, &content, false),
        (&v1, &wrapping, false),
        (&v1, &both, true),
        (&cbc, &wrapping, false),
        (&cbc, &both, true),
        (&gcm, &strict, false),
        (&gcm, &content, false),
        (&gcm, &wrapping, true),
        (&gcm, &both, true),
    ] {
        match header.admit(policy) {
            Ok(_) => assert!(opens, "{header:?} {policy:?}"),
            Err(refused) => {
                assert!(!opens, "{refused}");
                assert_eq!(refused.kind(), ErrorKind::Weak);
            }
        }
    }
    let refused = cbc.admit(&wrapping).unwrap_err();
    assert!(refused.to_string().contains("ALG_AES_256_CBC_IV16_NO_KDF"), "{refused}");
    let refused = gcm.admit(&strict).unwrap_err();
    assert!(refused.to_string().contains("kms"), "{refused}");
    assert!(!OpenPolicy::default().legacy_content && !OpenPolicy::default().legacy_wrapping);
    assert!(!OpenPolicy::default().unauthenticated_ranges);
}

#[test]
fn the_encryption_context_must_be_the_expected_one() {
    let context = pairs(&[("exchange", "acme-globex"), ("lane", "to-client")]);
    for suite in WRITTEN {
        let key = DataKey::generate().unwrap();
        let wrapped = WrappedKey::from_kms(suite, vec![1; 100], &context).unwrap();
        let sealer = Sealer::new(policy_for(suite), &key, wrapped).unwrap();
        let header = header(&sealer.header().to_metadata().unwrap()).unwrap();
        assert_eq!(header.context(), context);
        let policy = |context: &Pairs| OpenPolicy {
            commitment: CommitmentPolicy::RequireEncryptAllowDecrypt,
            context: ExpectedContext::Exactly(context.clone()),
            ..OpenPolicy::default()
        };
        let right = policy(&context);
        let admitted = header.admit(&right).unwrap();
        let KeyRequest::Kms { ciphertext, context: asked } = admitted.wanted() else { panic!() };
        assert_eq!(ciphertext, [1; 100]);
        assert_eq!(*asked, kms_context(suite, &context).unwrap());
        assert_eq!(asked.len(), 3);
        assert_eq!(
            asked["aws:x-amz-cek-alg"],
            if suite == Suite::Gcm { "AES/GCM/NoPadding" } else { "115" }
        );
        for wrong in [
            pairs(&[]),
            pairs(&[("exchange", "acme-globex")]),
            pairs(&[("exchange", "acme-globex"), ("lane", "from-client")]),
            pairs(&[("exchange", "acme-globex"), ("lane", "to-client"), ("more", "")]),
        ] {
            let policy = policy(&wrong);
            let refused = header.admit(&policy).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::WrongContext);
        }
        for reserved in ["aws:x-amz-cek-alg", "kms_cmk_id"] {
            let policy = policy(&pairs(&[(reserved, "115")]));
            assert_eq!(header.admit(&policy).unwrap_err().kind(), ErrorKind::Usage);
            let refused = kms_context(suite, &pairs(&[(reserved, "115")])).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage);
        }
    }
}

#[test]
fn a_context_that_names_another_suite_is_refused() {
    for written in written().iter().filter(|header| header.wrap() == Wrap::KmsContext) {
        let name = if written.format() == Format::V3 { "x-amz-t" } else { "x-amz-matdesc" };
        for context in ["{}", "{\"aws:x-amz-cek-alg\":\"AES/CBC/PKCS5Padding\"}", "{\"a\":\"115\"}"]
        {
            let mut metadata = written.to_metadata().unwrap();
            metadata.insert(name.to_owned(), context.to_owned());
            let policy = anything();
            let header = header(&metadata).unwrap();
            assert_does_not_open(header.admit(&policy), context);
        }
    }
}

/// `kms+context` rewritten to `kms` would leave the context unchecked.
#[test]
fn a_downgrade_to_kms_without_context_is_refused() {
    let [_, _, gcm] = legacy();
    let header = header(&gcm).unwrap();
    let policy = OpenPolicy {
        context: ExpectedContext::Exactly(pairs(&[("lane", "to-client")])),
        ..anything()
    };
    assert_eq!(header.admit(&policy).unwrap_err().kind(), ErrorKind::WrongContext);
    let none = OpenPolicy { context: ExpectedContext::default(), ..anything() };
    let admitted = header.admit(&none).unwrap();
    let KeyRequest::Kms { context, .. } = admitted.wanted() else { panic!() };
    assert_eq!(*context, pairs(&[("kms_cmk_id", "alias/old")]));
}

#[test]
fn metadata_too_large_for_s3_goes_into_an_instruction_file() {
    let key = DataKey::generate().unwrap();
    let long = pairs(&[("about", &"x".repeat(2000))]);
    let wrapped = WrappedKey::from_kms(Suite::GcmCommitted, vec![1; 184], &long).unwrap();
    let sealer = Sealer::new(CommitmentPolicy::default(), &key, wrapped).unwrap();
    assert_eq!(sealer.header().to_metadata().unwrap_err().kind(), ErrorKind::Usage);
    let beside = sealer.header().to_metadata_beside_instruction_file();
    let file = sealer.header().to_instruction_file();
    let header = pending(&beside).unwrap().with_instruction_file(file.as_bytes()).unwrap();
    assert_eq!(header, *sealer.header());
}

#[test]
fn double_encoded_context_is_read() {
    let context = pairs(&[("lane", "Größe")]);
    let wrapped = WrappedKey::from_kms(Suite::GcmCommitted, vec![1; 184], &context).unwrap();
    let key = DataKey::generate().unwrap();
    let sealer = Sealer::new(CommitmentPolicy::default(), &key, wrapped).unwrap();
    let mut metadata = sealer.header().to_metadata().unwrap();
    // As S3 answers what another client stored in UTF-8.
    let raw = "{\"aws:x-amz-cek-alg\":\"115\",\"lane\":\"Größe\"}";
    let wrong: String = raw.bytes().map(char::from).collect();
    let quoted: String = wrong
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("={byte:02X}"),
        })
        .collect();
    metadata.insert("x-amz-t".to_owned(), format!("=?UTF-8?Q?{quoted}?="));
    assert_eq!(header(&metadata).unwrap().context(), context);
}
