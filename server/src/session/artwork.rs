//! The artwork role: shows the picture of what is heard, on each of the client's channels, in the shape it wants.
//!
//! Pictures are stamped with the time at which their track is first heard. A track whose picture is not made yet begins
//! without one, and it follows.

use bytes::Bytes;
use protocol::binary::Artwork;
use protocol::message::{
    ARTWORK_CHANNELS_MAX, ArtworkChannel, ArtworkRequest, ArtworkSource, ArtworkStream,
    ArtworkStreamChannel, ArtworkSupport, ServerMessage, StreamStart,
};
use protocol::time::{ServerSpan, ServerTime};

use super::screen::{Sight, Told};
use crate::fanout::outbox::Outbox;
use crate::picture::Shape;
use crate::picture::darkroom::Wish;

/// How often one channel may ask for a print. It takes some 20 ms to make one.
const ASK_EVERY: ServerSpan = ServerSpan::from_millis(500);

/// A client's artwork role.
#[derive(Debug)]
pub(super) struct ArtworkRole {
    channels: Vec<Channel>,
    streams: bool,
    wish: Option<Wish>,
}

#[derive(Debug)]
struct Channel {
    wanted: ArtworkChannel,
    /// What the client was sent last, if anything.
    sent: Option<Told>,
    asked: Option<ServerTime>,
}

impl ArtworkRole {
    /// The channels of a hello; `None` when it has none.
    pub(super) fn new(support: &ArtworkSupport) -> Option<Self> {
        let channels = support.channels.iter().take(ARTWORK_CHANNELS_MAX);
        let channels: Vec<Channel> =
            channels.map(|&wanted| Channel { wanted, sent: None, asked: None }).collect();
        (!channels.is_empty()).then_some(Self { channels, streams: false, wish: None })
    }

    /// Brings all channels up to date.
    pub(super) fn follow(&mut self, sight: &Sight<'_>, outbox: &mut Outbox) {
        if !self.streams {
            self.streams = true;
            outbox.push(self.stream_start());
        }
        for (number, channel) in self.channels.iter_mut().enumerate() {
            match channel.next(sight) {
                Next::Nothing => {}
                Next::Ask(wish) => self.wish = Some(wish),
                Next::Send(image) => {
                    let show_at = sight.since();
                    let message = Artwork { channel: number as u8, show_at, image: &image };
                    outbox.push_picture(number, message.encode().into());
                }
            }
        }
    }

    /// Takes a wish for something else on one channel.
    ///
    /// # Errors
    ///
    /// When there is no such channel.
    pub(super) fn handle_format(
        &mut self,
        wish: &ArtworkRequest,
        outbox: &mut Outbox,
    ) -> Result<(), &'static str> {
        let number = usize::from(wish.channel);
        let channel = self.channels.get_mut(number);
        let channel = channel.ok_or("stream/request-format for a channel that is not there")?;
        channel.wanted = wish.applied_to(channel.wanted);
        channel.sent = None;
        // What waits to be sent is in the shape that was wanted before.
        outbox.drop_picture(number);
        if self.streams {
            outbox.push(self.stream_start());
        }
        Ok(())
    }

    /// Notes that the stream is over. Returns whether there was one.
    pub(super) fn stop(&mut self) -> bool {
        std::mem::take(&mut self.streams)
    }

    /// A print that is missing, if one is. Asked for again as long as it is.
    pub(super) fn take_wish(&mut self) -> Option<Wish> {
        self.wish.take()
    }

    fn stream_start(&self) -> ServerMessage {
        let channels = self.channels.iter().map(|channel| {
            let shape = channel.shape();
            ArtworkStreamChannel {
                source: channel.wanted.source,
                format: Some(shape.format),
                width: Some(shape.width),
                height: Some(shape.height),
            }
        });
        let artwork = Some(ArtworkStream { channels: channels.collect() });
        StreamStart { artwork, ..StreamStart::default() }.into()
    }
}

/// What a channel needs.
enum Next {
    Nothing,
    Ask(Wish),
    /// This picture; empty is none.
    Send(Bytes),
}

impl Channel {
    fn shape(&self) -> Shape {
        let ArtworkChannel { format, media_width, media_height, .. } = self.wanted;
        Shape::nearest(format, media_width, media_height)
    }

    fn next(&mut self, sight: &Sight<'_>) -> Next {
        // Of artists there are no pictures.
        let shows_album = self.wanted.source == ArtworkSource::Album;
        let picture = sight.picture().filter(|_| shows_album).map(|picture| picture.id);
        if self.sent == Some(Told(picture)) {
            return Next::Nothing;
        }
        let Some(id) = picture else {
            self.sent = Some(Told(None));
            return Next::Send(Bytes::new());
        };
        if let Some(print) = sight.gallery.print(id, self.shape()) {
            self.sent = Some(Told(picture));
            return Next::Send(print.clone());
        }
        if self.asked.is_some_and(|asked| sight.now - asked < ASK_EVERY) {
            return Next::Nothing;
        }
        self.asked = Some(sight.now);
        Next::Ask((id, self.shape()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::fixture::at;
    use crate::fanout::outbox::Output;
    use crate::fanout::stage::Stage;
    use crate::group::{Group, TrackMark};
    use crate::picture::gallery::tests::picture;
    use crate::session::Identity;
    use crate::source::Track;
    use protocol::binary::BinaryMessage;
    use protocol::message::ImageFormat;
    use std::sync::Arc;

    fn stage() -> Stage {
        let identity =
            Identity { server_id: "s".to_owned(), name: "n".to_owned(), ..Identity::default() };
        let mut group = Group::new("g".to_owned(), "n".to_owned());
        group.begin(at(0));
        for (run, from) in [(0, 1_000), (1, 60_000)] {
            let track = Arc::new(Track::default());
            group.mark(TrackMark { from: at(from), run, track, progress_ms: 0 }, at(0));
        }
        Stage::new(Arc::new(identity), group)
    }

    fn role(sources: &[ArtworkSource]) -> ArtworkRole {
        let channel = |&source| ArtworkChannel {
            source,
            format: ImageFormat::Jpeg,
            media_width: 100,
            media_height: 80,
        };
        ArtworkRole::new(&ArtworkSupport { channels: sources.iter().map(channel).collect() })
            .expect("a channel")
    }

    /// What is sent at `millis`: a word for a text message; channel, time and picture of a binary one.
    fn run(role: &mut ArtworkRole, stage: &Stage, millis: i64) -> Vec<String> {
        let mut outbox = Outbox::default();
        let view = stage.group.view(at(millis));
        let sight = Sight { view: &view, gallery: &stage.gallery, now: at(millis) };
        role.follow(&sight, &mut outbox);
        let mut words = Vec::new();
        loop {
            match outbox.poll(at(millis), stage) {
                Output::Message(message) => words.push(message.type_name().to_owned()),
                Output::Binary(bytes) => {
                    let Ok(BinaryMessage::Artwork(artwork)) = BinaryMessage::decode(&bytes) else {
                        panic!("no artwork: {bytes:?}");
                    };
                    let millis = artwork.show_at.as_micros() / 1_000;
                    let image = String::from_utf8_lossy(artwork.image);
                    words.push(format!("{} {millis} {image}", artwork.channel));
                }
                Output::Wait(_) => return words,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_picture_follows_its_track_and_goes_with_it() {
        let mut stage = stage();
        let mut role = role(&[ArtworkSource::Album, ArtworkSource::Artist]);
        assert_eq!(run(&mut role, &stage, 1_100), ["stream/start", "0 1000 ", "1 1000 "]);
        stage.group.illustrate(0, picture(7).id);
        stage.gallery.hang(picture(7));
        assert_eq!(run(&mut role, &stage, 1_200), [""; 0]);
        let shape = Shape { format: ImageFormat::Jpeg, width: 100, height: 80 };
        assert_eq!(role.take_wish(), Some((picture(7).id, shape)));
        stage.gallery.add_print(picture(7).id, shape, Bytes::from_static(b"seven"));
        assert_eq!(run(&mut role, &stage, 1_300), ["0 1000 seven"]);
        assert_eq!(run(&mut role, &stage, 1_400), [""; 0]);
        assert_eq!(run(&mut role, &stage, 60_000), ["0 60000 "]);
    }

    #[test]
    fn a_print_is_asked_for_again_but_not_all_the_time() {
        let mut stage = stage();
        stage.group.illustrate(0, picture(7).id);
        stage.gallery.hang(picture(7));
        let mut role = role(&[ArtworkSource::Album]);
        let asked: Vec<bool> = (1_000..2_100)
            .step_by(100)
            .map(|millis| {
                run(&mut role, &stage, millis);
                role.take_wish().is_some()
            })
            .collect();
        assert_eq!(asked.iter().filter(|&&asked| asked).count(), 3, "{asked:?}");
    }

    #[test]
    fn another_shape_is_announced_and_the_old_one_not_sent() {
        let mut stage = stage();
        stage.group.illustrate(0, picture(7).id);
        stage.gallery.hang(picture(7));
        let small = Shape { format: ImageFormat::Png, width: 32, height: 32 };
        stage.gallery.add_print(picture(7).id, small, Bytes::from_static(b"small"));
        let mut role = role(&[ArtworkSource::Album]);
        run(&mut role, &stage, 1_000);
        let mut outbox = Outbox::default();
        outbox.push_picture(0, Bytes::from_static(b"old"));
        let mut wish = ArtworkRequest {
            media_width: Some(32),
            media_height: Some(32),
            format: Some(ImageFormat::Png),
            ..ArtworkRequest::default()
        };
        role.handle_format(&wish, &mut outbox).unwrap();
        let Output::Message(ServerMessage::StreamStart(start)) = outbox.poll(at(0), &stage) else {
            panic!("no stream/start");
        };
        assert_eq!(start.artwork.unwrap().channels[0].width, Some(32));
        assert!(matches!(outbox.poll(at(0), &stage), Output::Wait(_)));
        assert_eq!(run(&mut role, &stage, 1_100), ["0 1000 small"]);
        wish.channel = 1;
        assert!(role.handle_format(&wish, &mut outbox).is_err());
    }
}
