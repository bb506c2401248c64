//! A scripted client against a session: what goes in, and the words that come out.

use std::sync::Arc;

use proptest::prelude::*;
use protocol::audio::AudioFormat;
use protocol::message::{
    ControllerCommand, Field, Metadata, PartyState, PlayerCommand, Rights, StreamFormat,
};

use super::*;
use crate::fanout::fixture::{at, fill_all};
use crate::group::{Offer, TrackMark};
use crate::pipeline::encoder::WireFormat;
use crate::rights::Rules;
use crate::source::{Abilities, Track};

const KEY: &str = "the-hosts-own-key";
const PCM_16: &str = r#"{"codec":"pcm","channels":2,"sample_rate":48000,"bit_depth":16}"#;
const PCM_24: &str = r#"{"codec":"pcm","channels":2,"sample_rate":48000,"bit_depth":24}"#;
const FLAC: &str = r#"{"codec":"flac","channels":2,"sample_rate":48000,"bit_depth":16}"#;

/// A session, the stage it looks at, and everything it sent.
struct Scene {
    session: Session,
    stage: Stage,
    sent: Vec<Sent>,
}

#[allow(clippy::large_enum_variant, reason = "a test has few of them")]
#[derive(Debug)]
enum Sent {
    Time(UnstampedTimeReply),
    Message(ServerMessage),
    Audio(ServerTime, WireFormat),
    Binary,
    Ping,
    Close(Close),
}

impl Scene {
    /// A party that plays "one" from time 0, with five seconds made.
    fn playing() -> Self {
        let mut scene = Self::stopped();
        fill_all(&mut scene.stage.rings, at(0), at(5_000), at(0));
        scene.stage.group.begin(at(0));
        scene.mark(0, "one");
        scene
    }

    /// A party before its first frame.
    fn stopped() -> Self {
        let identity = Identity {
            server_id: "server".to_owned(),
            name: "Party".to_owned(),
            rules: Rules::new(Rights::Skip, Some(&KEY.parse().unwrap())),
        };
        let identity = Arc::new(identity);
        let group = Group::new("group".to_owned(), "Party".to_owned());
        Self {
            session: Session::new(Arc::clone(&identity), 0, at(0)),
            stage: Stage::new(identity, group),
            sent: Vec::new(),
        }
    }

    fn mark(&mut self, from: i64, title: &str) {
        let track =
            Track { title: title.to_owned(), duration_ms: Some(60_000), ..Track::default() };
        let mark = TrackMark { from: at(from), run: 0, track: Arc::new(track), progress_ms: 0 };
        self.stage.group.mark(mark, at(0));
    }

    /// Hands in a text at `millis` and returns the words that come of it.
    fn text(&mut self, millis: i64, text: &str) -> Vec<&'static str> {
        self.session.handle_text(at(millis), text);
        self.run(millis)
    }

    /// Drains what is due at `millis`.
    fn run(&mut self, millis: i64) -> Vec<&'static str> {
        let mut words = Vec::new();
        loop {
            let sent = match self.session.poll_output(at(millis), &self.stage) {
                Output::Wait(..) => return words,
                Output::TimeReply(reply) => Sent::Time(reply),
                Output::Message(message) => Sent::Message(message),
                Output::Audio(chunk, format) => Sent::Audio(chunk.play_at(), format),
                Output::Binary(_) => Sent::Binary,
                Output::Ping => Sent::Ping,
                Output::Close(close) => Sent::Close(close),
            };
            words.push(match &sent {
                Sent::Time(_) => "server/time",
                Sent::Message(message) => message.type_name(),
                Sent::Audio(..) => "audio",
                Sent::Binary => "binary",
                Sent::Ping => "ping",
                Sent::Close(_) => "close",
            });
            let closed = matches!(sent, Sent::Close(_));
            self.sent.push(sent);
            if closed {
                return words;
            }
        }
    }

    /// When and why the session wants to be woken.
    fn wake(&mut self, millis: i64) -> (Option<ServerTime>, &'static str) {
        match self.session.poll_output(at(millis), &self.stage) {
            Output::Wait(wait) => (wait.until, wait.why),
            output => panic!("still has {output:?}"),
        }
    }

    fn close(&self) -> &Close {
        match self.sent.last() {
            Some(Sent::Close(close)) => close,
            other => panic!("not closed: {other:?}"),
        }
    }

    fn active_roles(&self) -> &[String] {
        let hello = self.sent.iter().find_map(|sent| match sent {
            Sent::Message(ServerMessage::Hello(hello)) => Some(hello),
            _ => None,
        });
        &hello.expect("no server/hello").active_roles
    }

    fn last_metadata(&self) -> &Metadata {
        let metadata = self.sent.iter().rev().find_map(|sent| match sent {
            Sent::Message(ServerMessage::State(state)) => state.metadata.as_ref(),
            _ => None,
        });
        metadata.expect("no metadata")
    }

    fn last_format(&self) -> AudioFormat {
        let format = self.sent.iter().rev().find_map(|sent| match sent {
            Sent::Message(ServerMessage::StreamStart(start)) => start.player.as_ref(),
            _ => None,
        });
        let StreamFormat { format, .. } = format.expect("no stream/start");
        *format
    }
}

fn hello_of(roles: &str, formats: &str, capacity: u64) -> String {
    format!(
        r#"{{"type":"client/hello","payload":{{"client_id":"c","name":"n","version":1,
        "supported_roles":[{roles}],"player@v1_support":
        {{"supported_formats":[{formats}],"buffer_capacity":{capacity}}}}}}}"#
    )
}

fn hello() -> String {
    hello_of(r#""player@v1","metadata@v1""#, PCM_16, 1 << 20)
}

const STATE: &str = r#"{"type":"client/state","payload":{"state":"synchronized","player":
    {"static_delay_ms":0,"required_lead_time_ms":250,"min_buffer_ms":250}}}"#;

#[test]
fn a_player_joins_and_hears_the_party() {
    let mut scene = Scene::playing();
    assert_eq!(scene.text(10, &hello()), ["server/hello", "group/update", "server/state"]);
    assert_eq!(scene.active_roles(), ["player@v1", "metadata@v1"]);
    let words = scene.text(20, STATE);
    assert_eq!(words[0], "stream/start");
    assert!(words[1..].iter().all(|&word| word == "audio"));
    assert_eq!(words.len(), 1 + 20);
    let Sent::Audio(first, WireFormat::Pcm16) = scene.sent[4] else { panic!("no audio") };
    assert_eq!(first, at(300));
}

#[test]
fn time_is_answered_with_the_time_of_arrival() {
    let mut scene = Scene::playing();
    scene.text(0, &hello());
    let request = r#"{"payload":{"client_transmitted":-77},"type":"client/time"}"#;
    assert_eq!(scene.text(123, request), ["server/time"]);
    let Some(Sent::Time(reply)) = scene.sent.last() else { panic!("no reply") };
    assert_eq!(reply.server_received, at(123));
    assert_eq!(reply.client_transmitted.as_micros(), -77);
}

#[test]
fn what_cannot_begin_a_session_is_refused_as_the_reference_does() {
    for first in [
        "",
        "nonsense",
        "[]",
        "7",
        "{}",
        r#"{"type":"client/time","payload":{"client_transmitted":1}}"#,
        r#"{"type":"client/init","payload":{"version":1}}"#,
        r#"{"type":"client/hello"}"#,
        r#"{"type":"client/hello","payload":{"client_id":1}}"#,
    ] {
        let mut scene = Scene::playing();
        assert_eq!(scene.text(0, first), ["close"], "{first}");
        let close = scene.close();
        assert_eq!((close.code, close.error), (close_code::PROTOCOL, Some("malformed")));
    }
    let mut scene = Scene::playing();
    scene.session.handle_binary(at(0));
    assert_eq!(scene.run(0), ["close"]);
    assert_eq!(scene.close().error, Some("malformed"));
}

#[test]
fn a_hello_that_is_out_of_bounds_is_refused_with_a_reason() {
    let long = "x".repeat(257);
    for (hello, code, reason) in [
        (hello().replace(r#""version":1"#, r#""version":2"#), close_code::PROTOCOL, "version 2"),
        (hello().replace(r#""c""#, r#""""#), close_code::POLICY, "client_id is empty"),
        (
            hello().replace(r#""c""#, &format!("{long:?}")),
            close_code::POLICY,
            "client_id is longer",
        ),
        (hello().replace(r#""n""#, &format!("{long:?}")), close_code::POLICY, "name is longer"),
        (
            hello_of(r#""player@v1""#, FLAC, 1 << 20),
            close_code::UNSUPPORTED,
            "no common format: this server sends pcm 48000 Hz 2 channels, 16 or 24 bit",
        ),
        (hello_of(r#""player@v1""#, "", 1 << 20), close_code::UNSUPPORTED, "no common format"),
        (
            hello_of(r#""player@v1""#, PCM_16, 19_208),
            close_code::UNSUPPORTED,
            "buffer_capacity 19208 is too small: a chunk has 19209 bytes",
        ),
    ] {
        let mut scene = Scene::playing();
        assert_eq!(scene.text(0, &hello), ["close"], "{reason}");
        let close = scene.close();
        assert_eq!(close.code, code, "{reason}");
        assert!(close.reason.starts_with(reason), "{}", close.reason);
        assert!(close.reason.len() <= 123);
    }
    let mut scene = Scene::playing();
    let smallest = hello_of(r#""player@v1""#, PCM_16, 19_209);
    assert_eq!(scene.text(0, &smallest), ["server/hello", "group/update"]);
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_ten_seconds() {
    let mut scene = Scene::playing();
    assert_eq!(scene.wake(0), (Some(at(10_000)), "client/hello"));
    assert!(scene.run(9_999).is_empty());
    assert_eq!(scene.run(10_000), ["close"]);
}

#[test]
fn roles_without_version_or_support_do_not_activate() {
    let mut scene = Scene::playing();
    let unversioned = hello_of(r#""player","metadata","artwork@v1""#, PCM_16, 1 << 20);
    assert_eq!(scene.text(0, &unversioned), ["server/hello", "group/update"]);
    assert!(scene.active_roles().is_empty());

    let mut scene = Scene::playing();
    let no_support = r#"{"type":"client/hello","payload":{"client_id":"c","name":"n","version":1,
        "supported_roles":["player@v1","metadata@v1"]}}"#;
    assert_eq!(scene.text(0, no_support), ["server/hello", "group/update", "server/state"]);
    assert_eq!(scene.active_roles(), ["metadata@v1"]);
    assert!(scene.run(29_000).is_empty());
    assert!(!scene.session.client().is_some_and(Client::listens));
}

#[test]
fn wrong_messages_after_the_hello_are_ignored_or_end_the_session() {
    for ignored in [
        r#"{"type":"client/state","payload":{"state":"dancing"}}"#,
        r#"{"type":"client/time","payload":{}}"#,
        r#"{"type":"client/time"}"#,
        r#"{"type":"client/command","payload":{"controller":{"command":"play"}}}"#,
        r#"{"type":"client/unheard-of","payload":{"a":1}}"#,
        r#"{"type":"server/hello","payload":{}}"#,
        r#"{"type":"stream/request-format","payload":{"player":{"bit_depth":24}}}"#,
        &hello(),
    ] {
        let mut scene = Scene::playing();
        scene.text(0, &hello());
        assert!(scene.text(1, ignored).is_empty(), "{ignored}");
        scene.session.handle_binary(at(0));
        assert!(scene.run(2).is_empty());
        let request = r#"{"type":"client/time","payload":{"client_transmitted":1}}"#;
        assert_eq!(scene.text(3, request), ["server/time"], "{ignored}");
    }
    for fatal in ["nonsense", "[]", "3", "{}", r#"{"type":7,"payload":{}}"#, ""] {
        let mut scene = Scene::playing();
        scene.text(0, &hello());
        assert_eq!(scene.text(1, fatal), ["close"], "{fatal}");
        assert_eq!((scene.close().code, scene.close().error), (close_code::PROTOCOL, None));
    }
}

#[test]
fn goodbye_ends_the_session() {
    let mut scene = Scene::playing();
    scene.text(0, &hello());
    scene.text(0, STATE);
    let goodbye = r#"{"type":"client/goodbye","payload":{"reason":"user_request"}}"#;
    assert_eq!(scene.text(1, goodbye), ["close"]);
    assert_eq!(scene.close().code, close_code::NORMAL);
    assert!(scene.session.client().is_none());
}

#[test]
fn a_player_that_never_reports_its_state_is_served_after_five_seconds() {
    let mut scene = Scene::playing();
    fill_all(&mut scene.stage.rings, at(5_000), at(9_000), at(0));
    scene.text(100, &hello());
    assert_eq!(scene.wake(100), (Some(at(5_100)), "the first client/state"));
    assert!(scene.run(5_099).is_empty());
    let words = scene.run(5_100);
    assert_eq!(words[..2], ["stream/start", "audio"]);
    // With the lead that the wire assumes: 1,000 ms.
    let first = scene.sent.iter().find_map(|sent| match sent {
        Sent::Audio(play_at, _) => Some(*play_at),
        _ => None,
    });
    assert_eq!(first, Some(at(6_100)));
}

#[test]
fn a_hostile_lead_is_clamped_to_what_is_made() {
    let mut scene = Scene::playing();
    scene.text(0, &hello());
    let state = r#"{"type":"client/state","payload":{"player":{"static_delay_ms":4294967295,
        "required_lead_time_ms":4294967295,"min_buffer_ms":4294967295}}}"#;
    scene.text(0, state);
    let Phase::Active(active) = &scene.session.phase else { panic!("closed") };
    let terms = active.client.player.as_ref().unwrap().terms();
    assert_eq!(terms.start_lead, ServerSpan::from_millis(4_800));
    assert_eq!(terms.delay, ServerSpan::from_millis(5_000));
}

#[test]
fn the_first_format_that_can_be_made_is_taken_and_may_be_changed_in_place() {
    let mut scene = Scene::playing();
    let formats = format!("{FLAC},{PCM_24},{PCM_16}");
    scene.text(0, &hello_of(r#""player@v1""#, &formats, 1 << 20));
    scene.text(0, STATE);
    assert_eq!(scene.last_format().bit_depth, 24);
    let wish = |depth: u8| {
        let player = format!(r#"{{"player":{{"bit_depth":{depth}}}}}"#);
        format!(r#"{{"type":"stream/request-format","payload":{player}}}"#)
    };
    let words = scene.text(100, &wish(16));
    assert_eq!(words[..2], ["stream/start", "audio"]);
    assert_eq!(scene.last_format().bit_depth, 16);
    assert!(matches!(scene.sent.last(), Some(Sent::Audio(_, WireFormat::Pcm16))));
    // What cannot be made leaves things as they are, and says so by repeating them.
    assert_eq!(scene.text(100, &wish(32)), ["stream/start"]);
    assert_eq!(scene.last_format().bit_depth, 16);
}

#[test]
fn a_format_too_large_for_the_client_is_not_granted() {
    let mut scene = Scene::playing();
    scene.text(0, &hello_of(r#""player@v1""#, PCM_16, 20_000));
    scene.text(0, STATE);
    let wish = r#"{"type":"stream/request-format","payload":{"player":{"bit_depth":24}}}"#;
    assert_eq!(scene.text(0, wish), ["stream/start"]);
    assert_eq!(scene.last_format().bit_depth, 16);
}

#[test]
fn a_client_that_is_busy_elsewhere_gets_no_audio_until_it_is_back() {
    for (away, back) in [
        (r#"{"state":"external_source"}"#, r#"{"state":"synchronized"}"#),
        (r#"{"player":{"state":"external_source"}}"#, r#"{"player":{"state":"synchronized"}}"#),
    ] {
        let state = |payload| format!(r#"{{"type":"client/state","payload":{payload}}}"#);
        let mut scene = Scene::playing();
        scene.text(0, &hello());
        scene.text(0, STATE);
        assert_eq!(scene.text(10, &state(away)), ["stream/end"]);
        assert!(scene.run(1_000).is_empty());
        assert_eq!(scene.text(1_000, &state(back))[..2], ["stream/start", "audio"]);
        // Out of step is no reason to stop: the client needs audio to get back.
        assert!(scene.text(1_000, &state(r#"{"state":"error"}"#)).is_empty());
        assert!(!scene.run(1_500).is_empty());
    }
}

#[test]
fn titles_change_when_they_are_heard() {
    let mut scene = Scene::playing();
    scene.mark(4_000, "two");
    scene.text(1_000, &hello_of(r#""metadata@v1""#, PCM_16, 0));
    let first = scene.last_metadata();
    assert_eq!((first.timestamp, &first.title), (at(0), &Field::Value("one".to_owned())));
    assert_eq!(first.artist, Field::Null);
    let progress = first.progress.value().unwrap();
    assert_eq!((progress.track_progress, progress.playback_speed), (0, 1_000));
    assert_eq!(progress.track_duration, 60_000);
    assert_eq!(scene.wake(1_000), (Some(at(4_000)), "the group"));
    assert!(scene.run(3_999).is_empty());
    assert_eq!(scene.run(4_000), ["server/state"]);
    let second = scene.last_metadata();
    assert_eq!((second.timestamp, &second.title), (at(4_000), &Field::Value("two".to_owned())));
    assert!(scene.run(29_000).is_empty());
}

#[test]
fn the_end_of_the_music_stops_the_group_before_the_stream() {
    let mut scene = Scene::playing();
    scene.text(0, &hello());
    scene.text(0, STATE);
    scene.stage.group.end(at(5_000));
    assert!(scene.run(4_999).iter().all(|&word| word == "audio"));
    assert_eq!(scene.run(5_000), ["group/update", "server/state", "stream/end"]);
    let progress = *scene.last_metadata().progress.value().unwrap();
    assert_eq!((progress.track_progress, progress.playback_speed), (5_000, 0));
    // One who comes later is told, and gets no stream.
    let mut late = Scene::playing();
    late.stage.group.end(at(5_000));
    assert_eq!(late.text(6_000, &hello()), ["server/hello", "group/update", "server/state"]);
    assert!(late.text(6_000, STATE).is_empty());
}

#[test]
fn a_party_that_begins_later_is_announced() {
    let mut scene = Scene::stopped();
    scene.text(0, &hello());
    assert_eq!(scene.last_metadata().title, Field::Null);
    assert!(scene.text(0, STATE).is_empty());
    scene.stage.group.begin(at(0));
    scene.mark(200, "one");
    fill_all(&mut scene.stage.rings, at(200), at(400), at(100));
    assert_eq!(scene.run(100), ["group/update", "server/state", "stream/start", "audio"]);
    assert_eq!(scene.run(200), ["server/state"]);
}

#[test]
fn a_shutdown_ends_the_stream_and_says_so() {
    let mut scene = Scene::playing();
    scene.text(0, &hello());
    scene.text(0, STATE);
    scene.session.handle_shutdown(&scene.stage.group);
    assert_eq!(scene.run(1), ["group/update", "stream/end", "close"]);
    assert_eq!(scene.close().code, close_code::GOING_AWAY);

    let mut silent = Scene::playing();
    silent.session.handle_shutdown(&silent.stage.group);
    assert_eq!(silent.run(1), ["close"]);
}

fn any_message() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        Just("1e999".to_owned()),
        Just("null".to_owned()),
        Just("-0.5".to_owned()),
    ];
    let keys = prop::sample::select(vec![
        "client_transmitted",
        "state",
        "player",
        "static_delay_ms",
        "min_buffer_ms",
        "required_lead_time_ms",
        "bit_depth",
        "reason",
    ]);
    let types = prop::sample::select(vec![
        "client/hello",
        "client/time",
        "client/state",
        "client/command",
        "stream/request-format",
        "client/goodbye",
        "x",
    ]);
    let player = (keys.clone(), number.clone()).prop_map(|(key, n)| format!(r#"{{"{key}":{n}}}"#));
    prop_oneof![
        ".{0,60}",
        Just(hello()),
        Just(STATE.to_owned()),
        (types.clone(), keys, number)
            .prop_map(|(t, key, n)| format!(r#"{{"type":"{t}","payload":{{"{key}":{n}}}}}"#)),
        (types, player)
            .prop_map(|(t, player)| format!(r#"{{"type":"{t}","payload":{{"player":{player}}}}}"#)),
    ]
}

proptest! {
    #[test]
    fn no_input_panics_or_sends_before_the_hello(
        inputs in prop::collection::vec((any_message(), 0_i64..3_000, any::<bool>()), 1..30),
        greeted: bool,
    ) {
        let mut scene = Scene::playing();
        let mut now = 0;
        if greeted {
            scene.text(0, &hello());
        }
        for (text, later, binary) in inputs {
            now += later;
            if binary {
                scene.session.handle_binary(at(0));
            }
            scene.text(now, &text);
        }
        match scene.sent.first() {
            None | Some(Sent::Message(ServerMessage::Hello(_)) | Sent::Close(_)) => {}
            Some(other) => prop_assert!(false, "{other:?} came first"),
        }
    }
}

#[test]
fn turns_are_spread_evenly_over_a_round() {
    let slots = (ROUND_SPAN.as_micros() / SLOT_SPAN.as_micros()) as usize;
    let mut taken = vec![0; slots];
    for number in 1_000..1_000 + 10 * slots as u64 {
        let turn = turn(number).as_micros();
        assert_eq!(turn % SLOT_SPAN.as_micros(), 0);
        taken[(turn / SLOT_SPAN.as_micros()) as usize] += 1;
    }
    assert!(taken.iter().all(|count| (9..=11).contains(count)), "{taken:?}");
}

#[test]
fn a_flood_of_time_requests_is_answered_as_far_as_it_is_sensible() {
    let mut scene = Scene::playing();
    scene.text(0, &hello());
    let ask = r#"{"type":"client/time","payload":{"client_transmitted":1}}"#;
    let mut replies = |millis: i64, count: usize| {
        (0..count)
            .flat_map(|_| scene.text(millis, ask))
            .filter(|&word| word == "server/time")
            .count()
    };
    assert_eq!(replies(0, 200), 100);
    // A second later there is room for 50 more, and the connection is as before.
    assert_eq!(replies(1_000, 60), 50);
}

#[test]
fn a_flood_of_messages_ends_the_connection_before_they_are_read() {
    let mut scene = Scene::playing();
    scene.text(0, &hello());
    for _ in 0..299 {
        assert!(!scene.text(0, STATE).contains(&"close"));
    }
    assert_eq!(scene.text(0, "no JSON"), ["close"]);
    assert_eq!(
        (scene.close().code, scene.close().reason.as_str()),
        (close_code::POLICY, "too many messages")
    );
}

#[test]
fn a_silent_client_is_asked_and_then_told_to_go() {
    let mut scene = Scene::stopped();
    scene.text(0, &hello());
    scene.run(29_999);
    assert_eq!(scene.wake(29_999), (Some(at(30_000)), "a sign of life"));
    assert_eq!(scene.run(30_000), ["ping"]);
    scene.session.handle_sign_of_life(at(30_100));
    assert_eq!(scene.run(60_100), ["ping"]);
    assert_eq!(scene.wake(60_100), (Some(at(90_100)), "a sign of life"));
    assert_eq!(scene.run(90_100), ["close"]);
    let Close { code, leave, .. } = scene.close();
    assert_eq!((*code, *leave), (close_code::GOING_AWAY, Leave::Silent));
}

/// A hello with controls, and with a key if it is not empty.
fn hello_with_controls(key: &str) -> String {
    let roles = r#""player@v1","controller@v1","_partyline@v1""#;
    let key = if key.is_empty() { String::new() } else { format!(r#""host_key":"{key}""#) };
    let support = format!(r#""_partyline@v1_support":{{{key}}},"version""#);
    hello_of(roles, PCM_16, 1 << 20).replace(r#""version""#, &support)
}

impl Scene {
    /// A party whose source can do all there is.
    fn willing() -> Self {
        let mut scene = Self::playing();
        let abilities = Abilities { skip: true, seek: true, order: true };
        scene.stage.group.offer(Offer { abilities, ..Offer::default() });
        scene
    }

    fn offered(&self) -> Vec<&str> {
        let state = self.sent.iter().rev().find_map(|sent| match sent {
            Sent::Message(ServerMessage::State(state)) => state.controller.as_ref(),
            _ => None,
        });
        state.expect("no controls").supported_commands.iter().map(String::as_str).collect()
    }

    fn party(&self) -> &PartyState {
        let state = self.sent.iter().rev().find_map(|sent| match sent {
            Sent::Message(ServerMessage::State(state)) => state.party.as_ref(),
            _ => None,
        });
        state.expect("no party")
    }

    /// What comes of a command.
    fn command(&mut self, command: &str) -> Option<Asked> {
        let text = format!(r#"{{"type":"client/command","payload":{command}}}"#);
        self.text(100, &text);
        self.session.take_asked()
    }
}

#[test]
fn guests_are_offered_what_the_host_lets_them_and_the_host_all() {
    let mut guest = Scene::willing();
    guest.text(10, &hello_with_controls(""));
    assert_eq!((guest.offered(), guest.party().rights), (vec!["next"], Rights::Skip));
    assert!(!guest.party().key_refused && guest.party().players.is_none());

    let mut host = Scene::willing();
    host.text(10, &hello_with_controls(KEY));
    let all = "play pause stop next previous seek seek_relative repeat_off repeat_one repeat_all \
               shuffle unshuffle";
    assert_eq!((host.offered().join(" ").as_str(), host.party().rights), (all, Rights::Host));

    let mut stale = Scene::willing();
    stale.text(10, &hello_with_controls("the-key-of-yesterday"));
    assert_eq!((stale.offered(), stale.party().rights), (vec!["next"], Rights::Skip));
    assert!(stale.party().key_refused);

    // The role alone gives no rights, and what the source cannot do is not offered.
    let mut host = Scene::playing();
    host.text(10, &hello_with_controls(KEY));
    assert_eq!(host.offered(), ["play", "pause", "stop"]);
}

#[test]
fn a_command_goes_on_only_if_its_sender_may_give_it() {
    let next = r#"{"controller":{"command":"next"}}"#;
    let pause = r#"{"controller":{"command":"pause"}}"#;
    let player = r#"{"_partyline":{"command":"player_volume","player":"c","volume":1}}"#;
    let wanted = |command| Some(Asked::Do(Command::of_controller(command).unwrap()));
    let mut guest = Scene::willing();
    guest.text(10, &hello_with_controls(""));
    assert_eq!(guest.command(next), wanted(ControllerCommand::Next));
    assert_eq!(guest.command(pause), None);
    assert_eq!(guest.command(player), None);
    let mut host = Scene::willing();
    host.text(10, &hello_with_controls(KEY));
    assert_eq!(host.command(pause), wanted(ControllerCommand::Pause));
    assert_eq!(host.command(player), Some(Asked::Do(Command::PlayerVolume("c".to_owned(), 1))));
    assert_eq!(host.command(r#"{"controller":{"command":"switch"}}"#), None);
    // Without the role there are no commands, whatever the key.
    let mut none = Scene::willing();
    none.text(10, &hello());
    assert_eq!(none.command(next), None);
}

#[test]
fn who_may_set_the_volume_sees_it_and_a_player_is_told_its_own() {
    const TELLS: &str = r#"{"type":"client/state","payload":{"player":{"volume":40,"muted":false,
        "supported_commands":["volume","mute"]}}}"#;
    let mut host = Scene::willing();
    host.text(10, &hello_with_controls(KEY));
    host.text(20, TELLS);
    let Some(Asked::Tell(told)) = host.session.take_asked() else { panic!("it tells nothing") };
    assert_eq!((told.volume, told.muted), (Some(40), Some(false)));
    host.stage.players.tell("c", 1, told);
    // Nobody is woken for it: it looks twice a second.
    assert!(!host.offered().contains(&"volume"));
    host.run(510);
    assert!(host.offered().starts_with(&["volume", "mute"]));
    assert_eq!(host.party().players.as_ref().map(Vec::len), Some(1));

    host.stage.players.set_volume(70);
    assert_eq!(host.run(520)[0], "server/command");
    let Some(Sent::Message(ServerMessage::Command(command))) =
        host.sent.iter().rfind(|sent| !matches!(sent, Sent::Audio(..)))
    else {
        panic!("no command")
    };
    assert_eq!(command.player, Some(PlayerCommand::Volume { volume: 70 }));
}

#[test]
fn a_player_is_called_what_it_says_last_if_that_is_no_novel() {
    let named = |name: &str| {
        let payload = serde_json::json!({"_partyline": {"command": "rename", "name": name}});
        serde_json::json!({"type": "client/command", "payload": payload}).to_string()
    };
    let mut guest = Scene::willing();
    guest.text(10, &hello_with_controls("no key"));
    guest.text(20, &named("Kitchen"));
    let Some(Asked::Tell(told)) = guest.session.take_asked() else { panic!("it tells nothing") };
    assert_eq!(told.name, "Kitchen");
    guest.text(30, &named(&"x".repeat(300)));
    assert_eq!(guest.session.take_asked(), None);
    // Without the role it has no such command.
    let mut other = Scene::willing();
    other.text(10, &hello());
    other.text(20, &named("Kitchen"));
    assert_eq!(other.session.take_asked(), None);
}

#[test]
fn after_a_cut_players_are_told_to_forget_and_a_pause_ends_the_stream() {
    let mut scene = Scene::playing();
    scene.text(10, &hello());
    scene.text(20, STATE);
    scene.stage.rings.all_mut().for_each(crate::fanout::ring::Ring::clear);
    scene.stage.group.cut(at(1_000), None);
    fill_all(&mut scene.stage.rings, at(1_300), at(2_000), at(1_000));
    assert_eq!(scene.run(1_000)[..3], ["server/state", "stream/clear", "audio"]);
    scene.stage.rings.all_mut().for_each(crate::fanout::ring::Ring::clear);
    scene.stage.group.cut(at(1_500), Some(200));
    assert_eq!(scene.run(1_500), ["group/update", "server/state", "stream/end"]);
    let Field::Value(progress) = scene.last_metadata().progress else { panic!("no progress") };
    assert_eq!((progress.track_progress, progress.playback_speed), (200, 0));
}

/// A client that shows everything and plays nothing.
const SCREEN: &str = r#"{"type":"client/hello","payload":{"client_id":"c","name":"n","version":1,
    "supported_roles":["artwork@v1","color@v1","visualizer@v1","visualizer"],
    "artwork@v1_support":{"channels":[{"source":"album","format":"jpeg","media_width":64,"media_height":64}]},
    "visualizer@v1_support":{"types":["beat","spectrum","beat"],"buffer_capacity":1000,"rate_max":500}}}"#;

#[test]
fn a_screen_gets_what_it_can_show() {
    let mut scene = Scene::playing();
    scene.stage.group.end(at(3_000));
    let words = scene.text(10, SCREEN);
    let start = ["stream/start", "stream/start", "binary"];
    assert_eq!(words[..3], ["server/hello", "group/update", "server/state"]);
    assert_eq!(words[3..], start);
    assert_eq!(scene.active_roles(), ["artwork@v1", "color@v1", "visualizer@v1"]);
    assert!(scene.session.shows_figures());
    let visualizer = scene.sent.iter().find_map(|sent| match sent {
        Sent::Message(ServerMessage::StreamStart(start)) => start.visualizer.as_ref(),
        _ => None,
    });
    let visualizer = visualizer.expect("no stream/start for the visualizer");
    // Each type once, no spectrum without a shape, and no more often than there is something.
    assert_eq!((visualizer.types.len(), visualizer.rate_max), (1, 50));
    assert_eq!(scene.run(3_000), ["group/update", "stream/end"]);
    assert!(!scene.session.shows_figures());
    let stage = &scene.stage;
    scene.session.handle_shutdown(&stage.group);
    assert_eq!(scene.run(3_100), ["group/update", "stream/end", "close"]);
}

#[test]
fn a_screen_may_change_its_mind() {
    let mut scene = Scene::playing();
    scene.text(10, SCREEN);
    let request =
        |wish: &str| format!(r#"{{"type":"stream/request-format","payload":{{{wish}}}}}"#);
    for (wish, words) in [
        (r#""artwork":{"channel":0,"media_width":32}"#, &["stream/start", "binary"][..]),
        (r#""artwork":{"channel":1,"media_width":32}"#, &[]),
        (r#""visualizer":{"types":["loudness"]}"#, &["stream/start"]),
        (r#""visualizer":{"types":[]}"#, &[]),
        (
            r#""visualizer":{"types":["spectrum"],"spectrum":{"n_disp_bins":900,"scale":"log","f_min":1,"f_max":2}}"#,
            &["stream/start"],
        ),
        (r#""player":{"bit_depth":16}"#, &[]),
    ] {
        assert_eq!(scene.text(20, &request(wish)), words, "{wish}");
    }
    let complaints = scene.session.complaints;
    assert_eq!(complaints, 3);
}

#[test]
fn a_role_that_cannot_be_served_is_not_active() {
    for (from, to) in [
        (r#""buffer_capacity":1000"#, r#""buffer_capacity":9"#),
        (r#"["beat","spectrum","beat"]"#, r#"["spectrum"]"#),
        (r#""rate_max":500"#, r#""rate":500"#),
    ] {
        let mut scene = Scene::playing();
        scene.text(0, &SCREEN.replace(from, to));
        assert_eq!(scene.active_roles(), ["artwork@v1", "color@v1"], "{to}");
    }
}
