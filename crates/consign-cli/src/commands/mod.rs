//! One file per command: arguments in, one call, words out.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod destroy;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod files;
pub(crate) mod init;
pub(crate) mod interrupt;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod local;
pub(crate) mod locate;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod prove;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod show;
pub(crate) mod verify;
pub(crate) mod world;
