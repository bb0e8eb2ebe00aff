//! What must hold between two parties whatever store is between them. The same function runs against
//! the local cloud, SeaweedFS and Ceph.

use std::fs;
use std::path::Path;

use consign::{ReceiveOptions, SendOptions, list, receive, send, show, verify};

use crate::world::{Built, World};

/// Sizes at which something changes: nothing, one byte, a pack, an object of its own, several parts.
const SIZES: [(&str, usize); 7] = [
    ("empty", 0),
    ("one", 1),
    ("folder/small text.txt", 5_000),
    ("folder/Größe № 7.bin", 70_000),
    ("folder/chunk", 65_536),
    ("large", (1 << 20) + 1),
    ("several parts", (40 << 20) + 12_345),
];

/// Sends a tree one way and a reply back; receives both, whole and once; looks before and after.
///
/// # Errors
/// What went wrong, for the author of the change that broke it.
pub async fn send_and_receive(world: &World) -> Built<()> {
    for (path, bytes) in SIZES {
        world.payload(&format!("tree/{path}"), bytes)?;
    }
    let (acme, globex) = (world.office("acme").await?, world.office("globex").await?);
    let (there, back) = (world.lane("to-client")?, world.lane("from-client")?);

    let into = world.inbox("globex");
    let nothing = receive(&globex, &there, &into, &ReceiveOptions::default()).await?;
    assert!(nothing.consignments.is_empty(), "received before anything was sent");

    let sent = send(&acme, &there, &[world.from().join("tree")], &SendOptions::default()).await?;
    assert_eq!(sent.files, SIZES.len() as u64);
    assert_eq!(sent.bytes, SIZES.iter().map(|(_, bytes)| *bytes as u64).sum::<u64>());

    let listed = list(&globex, Some(&there)).await?;
    assert_eq!(listed.len(), 1, "{listed:?}");
    show(&globex, &there, &sent.id).await?;
    verify(&globex, &there, &sent.id).await?;

    let received = receive(&globex, &there, &into, &ReceiveOptions::default()).await?;
    assert!(received.refused.is_empty(), "{:?}", received.refused);
    let [arrived] = received.consignments.as_slice() else {
        return Err(format!("one consignment expected: {:?}", received.consignments).into());
    };
    assert_eq!(arrived.id, sent.id);
    same(&world.from().join("tree"), &find(&arrived.path, "tree"))?;

    let again = receive(&globex, &there, &into, &ReceiveOptions::default()).await?;
    assert!(again.consignments.is_empty(), "received twice");

    let reply = world.payload("reply.txt", 3_000)?;
    send(&globex, &back, &[reply], &SendOptions::default()).await?;
    let replies = receive(&acme, &back, &world.inbox("acme"), &ReceiveOptions::default()).await?;
    assert_eq!(replies.consignments.len(), 1);
    Ok(())
}

/// The folder below which the sent tree lies: with its own name or without.
fn find(arrived: &Path, name: &str) -> std::path::PathBuf {
    let named = arrived.join(name);
    if named.is_dir() { named } else { arrived.to_path_buf() }
}

fn same(sent: &Path, received: &Path) -> Built<()> {
    for (path, _) in SIZES {
        let (one, other) = (fs::read(sent.join(path))?, fs::read(received.join(path))?);
        // Not assert_eq: a difference of 40 MiB is not worth printing.
        assert!(one == other, "{path} differs");
    }
    Ok(())
}
