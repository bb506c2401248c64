//! The parts of the page. Each reads the [`crate::player_handle::PlayerHandle`] of the context and nothing else.

pub mod cover;
pub mod delay;
pub mod host_panel;
pub mod icon;
pub mod join;
pub mod listeners;
pub mod message;
pub mod next_up;
pub mod now_playing;
pub mod players;
pub mod progress;
pub mod share;
pub mod slider;
pub mod status;
pub mod sync_graph;
pub mod sync_status;
pub mod transport;
pub mod volume;

pub use cover::Cover;
pub use delay::Delay;
pub use host_panel::HostPanel;
pub use icon::Icon;
pub use join::Join;
pub use listeners::Listeners;
pub use message::Message;
pub use next_up::NextUp;
pub use now_playing::NowPlaying;
pub use players::Players;
pub use progress::Progress;
pub use share::Share;
pub use slider::{Loudness, Slider};
pub use status::Status;
pub use sync_graph::SyncGraph;
pub use sync_status::SyncStatus;
pub use transport::Transport;
pub use volume::Volume;
