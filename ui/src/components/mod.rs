//! The parts of the page. Each reads the [`crate::player_handle::PlayerHandle`] of the context and nothing else.

pub mod delay;
pub mod join;
pub mod listeners;
pub mod message;
pub mod now_playing;
pub mod status;
pub mod sync_graph;
pub mod sync_status;
pub mod volume;

pub use delay::Delay;
pub use join::Join;
pub use listeners::Listeners;
pub use message::Message;
pub use now_playing::NowPlaying;
pub use status::Status;
pub use sync_graph::SyncGraph;
pub use sync_status::SyncStatus;
pub use volume::Volume;
