//! Everything that speaks HTTP.

pub(crate) mod accept;
pub(crate) mod api;
pub(crate) mod artwork;
pub(crate) mod assets;
pub(crate) mod entrance;
pub(crate) mod gate;
pub(crate) mod headers;
pub(crate) mod ops;
pub(crate) mod origins;
pub(crate) mod own_url;
pub(crate) mod socket;
pub(crate) mod status;
#[cfg(feature = "tls")]
pub(crate) mod tls;
