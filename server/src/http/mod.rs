//! Everything that speaks HTTP.

pub(crate) mod assets;
pub(crate) mod headers;
pub(crate) mod join_url;
pub(crate) mod socket;
pub(crate) mod status;
