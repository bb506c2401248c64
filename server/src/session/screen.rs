//! What a client shows: the artwork, color and visualizer roles of one connection.

use protocol::message::{ClientHello, StreamEnd, StreamRequestFormat};
use protocol::role::{ARTWORK_V1, COLOR_V1, VISUALIZER_V1};
use protocol::time::ServerTime;

use super::artwork::ArtworkRole;
use super::color::ColorRole;
use super::visualizer::VisualizerRole;
use crate::fanout::outbox::Outbox;
use crate::group::View;
use crate::picture::Picture;
use crate::picture::darkroom::Wish;
use crate::picture::gallery::Gallery;
use crate::source::PictureId;

/// What there is to be seen at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    /// What plays.
    pub(super) view: &'a View<'a>,
    /// Pictures of it.
    pub(super) gallery: &'a Gallery,
    /// The moment.
    pub(super) now: ServerTime,
}

impl Sight<'_> {
    /// The picture of what is heard.
    pub(super) fn picture(&self) -> Option<&Picture> {
        let id = self.view.now_playing?.track.artwork?;
        self.gallery.get(id).map(AsRef::as_ref)
    }

    /// Since when that is heard.
    pub(super) fn since(&self) -> ServerTime {
        self.view.now_playing.map_or(self.now, |mark| mark.from)
    }
}

/// Which picture a client was told of, if of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told(pub(super) Option<PictureId>);

/// The roles, as far as they are active.
#[derive(Debug)]
pub(super) struct Screen {
    artwork: Option<ArtworkRole>,
    color: Option<ColorRole>,
    visualizer: Option<VisualizerRole>,
}

impl Screen {
    /// The roles that the sender of `hello` is to have.
    pub(super) fn new(hello: &ClientHello) -> Self {
        let lists = |role: &str| hello.supported_roles.iter().any(|listed| listed == role);
        let artwork = hello.artwork_support.as_ref().filter(|_| lists(ARTWORK_V1));
        let visualizer = hello.visualizer_support.as_ref().filter(|_| lists(VISUALIZER_V1));
        Self {
            artwork: artwork.and_then(ArtworkRole::new),
            color: lists(COLOR_V1).then(ColorRole::default),
            visualizer: visualizer.and_then(VisualizerRole::new),
        }
    }

    /// Versioned names of the active roles.
    pub(super) fn roles(&self) -> impl Iterator<Item = &'static str> {
        let artwork = self.artwork.as_ref().map(|_| ARTWORK_V1);
        let color = self.color.as_ref().map(|_| COLOR_V1);
        let visualizer = self.visualizer.as_ref().map(|_| VISUALIZER_V1);
        [artwork, color, visualizer].into_iter().flatten()
    }

    /// Brings the client up to date with what there is to be seen.
    pub(super) fn follow(&mut self, sight: &Sight<'_>, outbox: &mut Outbox) {
        if let Some(color) = &mut self.color
            && let Some(state) = color.follow(sight)
        {
            outbox.push(state);
        }
        if let Some(artwork) = &mut self.artwork {
            artwork.follow(sight, outbox);
        }
        if let Some(visualizer) = &mut self.visualizer {
            visualizer.follow(sight, outbox);
        }
    }

    /// Ends what streams.
    pub(super) fn stop(&mut self, outbox: &mut Outbox) {
        let artwork = self.artwork.as_mut().is_some_and(ArtworkRole::stop);
        let visualizer = self.visualizer.as_mut().is_some_and(|role| role.stop(outbox));
        let named = [("artwork", artwork), ("visualizer", visualizer)];
        let roles = named.into_iter().filter(|&(_, streamed)| streamed);
        let roles: Vec<String> = roles.map(|(role, _)| role.to_owned()).collect();
        if !roles.is_empty() {
            outbox.push(StreamEnd { roles: Some(roles) }.into());
        }
    }

    /// Takes wishes for other pictures and figures.
    ///
    /// # Errors
    ///
    /// What is wrong with one of them. It is not granted.
    pub(super) fn handle_format(
        &mut self,
        request: &StreamRequestFormat,
        outbox: &mut Outbox,
    ) -> Result<(), &'static str> {
        const NOT_ACTIVE: &str = "stream/request-format for a role that is not active";
        if let Some(wish) = &request.artwork {
            self.artwork.as_mut().ok_or(NOT_ACTIVE)?.handle_format(wish, outbox)?;
        }
        if let Some(wish) = &request.visualizer {
            self.visualizer.as_mut().ok_or(NOT_ACTIVE)?.handle_format(wish, outbox)?;
        }
        Ok(())
    }

    /// A print that is missing, if one is.
    pub(super) fn take_wish(&mut self) -> Option<Wish> {
        self.artwork.as_mut().and_then(ArtworkRole::take_wish)
    }

    /// Whether it is to get figures of the sound.
    pub(super) fn shows_figures(&self) -> bool {
        self.visualizer.as_ref().is_some_and(VisualizerRole::streams)
    }
}
