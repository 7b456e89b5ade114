use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixListener,
    },
};

use nix::unistd::{Gid, Group};

use super::bed::Bed;
use crate::http::{Socket, SocketError};

#[tokio::test]
async fn root_alone_may_use_it_unless_a_group_may_too() {
    let bed = Bed::start();
    assert_eq!(fs::metadata(&bed.socket).unwrap().permissions().mode() & 0o7777, 0o600);
    let path = bed.path("new/deep/group.sock");
    let group = Group::from_gid(Gid::effective()).unwrap().unwrap();
    let socket = Socket::bind(&path, Some(&group.name)).unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.mode() & 0o7777, found.gid()), (0o660, group.gid.as_raw()));
    drop(socket);
    assert!(!path.exists());
    let error = Socket::bind(&path, Some("no-such-group")).unwrap_err();
    assert_eq!(error.to_string(), "no group `no-such-group`");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let bed = Bed::start();
    let error = Socket::bind(&bed.socket, None).unwrap_err();
    assert!(matches!(error, SocketError::Taken { .. }), "{error}");
    assert!(bed.client.pods().await.is_ok(), "the live one still answers");

    let stale = bed.path("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let bound = Socket::bind(&stale, None).unwrap();
    assert!(matches!(Socket::bind(&stale, None), Err(SocketError::Taken { .. })));
    drop(bound);

    let others = bed.path("others.sock");
    let listener = UnixListener::bind(&others).unwrap();
    let error = Socket::bind(&others, None).unwrap_err();
    assert!(matches!(error, SocketError::Taken { .. }), "somebody else's: {error}");
    drop(listener);

    let file = bed.path("file.sock");
    fs::write(&file, "precious").unwrap();
    let error = Socket::bind(&file, None).unwrap_err();
    assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

/// A daemon that ends late must not take its successor's socket away.
#[tokio::test]
async fn a_socket_that_is_another_by_now_stays() {
    let bed = Bed::start();
    let path = bed.path("moved.sock");
    let old = Socket::bind(&path, None).unwrap();
    fs::remove_file(&path).unwrap();
    let _new = UnixListener::bind(&path).unwrap();
    drop(old);
    assert!(path.exists());
}
