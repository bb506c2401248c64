//! Golden files: every message of the wire, as real peers write it, against its typed value and its
//! canonical form.
//!
//! `golden/<name>.json` is what a peer sends. `golden/<name>.canonical.json`, where it stands beside it, is
//! what this side writes for the same value; without one, the two are the same JSON. A file in the folder
//! that no row names fails the test, so nothing lies there unread.
//!
//! Source: wire reference, sections 2 and 3, with the habits of sendspin-js 3.2.1 (9.1) and of newer peers.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use protocol::audio::{AudioFormat, Codec};
use protocol::binary::{
    Artwork, AudioChunk, Bands, BinaryMessage, Figure, VisualizerFrame, begin_audio_chunk,
};
use protocol::message::{
    ArtworkChannel, ArtworkRequest, ArtworkSource, ArtworkStream, ArtworkStreamChannel,
    ArtworkSupport, ClientCommand, ClientGoodbye, ClientHello, ClientMessage, ClientState,
    ClientTimeRequest, ColorState, ConnectionReason, ControllerCommand, ControllerState,
    DeviceInfo, Field, FormatRequest, GoodbyeReason, GroupUpdate, ImageFormat, Metadata,
    OperationalState, PlaybackState, PlayerCommand, PlayerCommandName, PlayerState, PlayerSupport,
    Progress, Repeat, Scale, ServerCommand, ServerHello, ServerMessage, ServerState,
    ServerTimeReply, SpectrumShape, StreamClear, StreamEnd, StreamFormat, StreamRequestFormat,
    StreamStart, VisualizerRequest, VisualizerStream, VisualizerSupport, VisualizerType,
};
use protocol::time::{ClientTime, ServerTime};
use serde_json::Value;

#[test]
fn client_messages_are_read_and_written_as_the_golden_files_say() {
    for (name, expected) in client_messages() {
        let decoded = ClientMessage::decode(&text(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .unwrap_or_else(|| panic!("{name}: its type is unknown"));
        assert_eq!(decoded, expected, "{name}");
        assert_canonical(name, &expected.encode());
    }
}

#[test]
fn server_messages_are_read_and_written_as_the_golden_files_say() {
    for (name, expected) in server_messages() {
        let decoded = ServerMessage::decode(&text(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .unwrap_or_else(|| panic!("{name}: its type is unknown"));
        assert_eq!(decoded, expected, "{name}");
        assert_canonical(name, &expected.encode());
    }
}

#[test]
fn every_type_of_both_directions_has_a_golden_file() {
    let client: BTreeSet<_> = client_messages().iter().map(|(_, m)| m.type_name()).collect();
    let server: BTreeSet<_> = server_messages().iter().map(|(_, m)| m.type_name()).collect();
    assert_eq!(
        Vec::from_iter(client),
        [
            "client/command",
            "client/goodbye",
            "client/hello",
            "client/state",
            "client/time",
            "stream/request-format",
        ]
    );
    assert_eq!(
        Vec::from_iter(server),
        [
            "group/update",
            "server/command",
            "server/hello",
            "server/state",
            "server/time",
            "stream/clear",
            "stream/end",
            "stream/start",
        ]
    );
}

#[test]
fn no_golden_file_lies_unread() {
    let named: BTreeSet<_> = client_messages()
        .into_iter()
        .map(|(name, _)| name)
        .chain(server_messages().into_iter().map(|(name, _)| name))
        .chain(UNKNOWN_TYPES.iter().copied())
        .chain(MALFORMED.iter().map(|(name, _)| *name))
        .map(str::to_owned)
        .collect();
    let present: BTreeSet<_> = fs::read_dir(folder())
        .expect("the golden folder is there")
        .map(|entry| entry.expect("readable").file_name())
        .map(|name| name.into_string().expect("plain names"))
        .filter_map(|name| {
            let stem = name.strip_suffix(".json")?;
            Some(stem.strip_suffix(".canonical").unwrap_or(stem).to_owned())
        })
        .collect();
    assert_eq!(present, named);
}

/// Types of other generations and of roles that this end does not have.
const UNKNOWN_TYPES: [&str; 2] = ["unknown.client_leave", "unknown.server_activate"];

#[test]
fn types_this_end_does_not_know_are_no_error() {
    for name in UNKNOWN_TYPES {
        assert_eq!(ClientMessage::decode(&text(name)).expect(name), None);
        assert_eq!(ServerMessage::decode(&text(name)).expect(name), None);
    }
}

/// Texts that are no message for the client-to-server direction, with the words that the error must have.
const MALFORMED: [(&str, &str); 6] = [
    ("malformed.array", "not a message"),
    ("malformed.payload_is_an_array", "malformed client/time: expected a JSON object"),
    ("malformed.type_is_a_number", "not a message"),
    ("malformed.no_payload", "malformed client/time: it has no payload"),
    ("malformed.missing_field", "malformed client/time: missing field `client_transmitted`"),
    ("malformed.command_without_its_value", "malformed client/command: missing field `volume`"),
];

#[test]
fn malformed_messages_are_named_in_the_error() {
    for (name, words) in MALFORMED {
        let error = ClientMessage::decode(&text(name)).expect_err(name).to_string();
        assert!(error.starts_with(words), "{name}: {error}");
    }
}

#[test]
fn the_audio_chunk_is_laid_out_as_the_golden_file_says() {
    let bytes = hex("audio_chunk");
    let play_at = ServerTime::from_micros(45_250_000);
    // Three frames, left and right: little-endian, unlike the header.
    let samples: [i16; 6] = [1, -1, -32_768, 32_767, 0x1234, -21_555];
    let audio: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();

    assert_eq!(
        BinaryMessage::decode(&bytes),
        Ok(BinaryMessage::Audio(AudioChunk { play_at, audio: &audio }))
    );
    let mut written = begin_audio_chunk(play_at, audio.len());
    written.extend_from_slice(&audio);
    assert_eq!(written, bytes);
}

#[test]
fn pictures_are_laid_out_as_the_golden_files_say() {
    let show_at = ServerTime::from_micros(45_250_000);
    for (name, channel, image) in
        [("artwork", 1, &[0xff, 0xd8, 0xff, 0xe0][..]), ("artwork_cleared", 3, &[])]
    {
        let artwork = Artwork { channel, show_at, image };
        let bytes = hex(name);
        assert_eq!(BinaryMessage::decode(&bytes), Ok(BinaryMessage::Artwork(artwork)), "{name}");
        assert_eq!(artwork.encode(), bytes, "{name}");
    }
}

#[test]
fn figures_of_the_sound_are_laid_out_as_the_golden_files_say() {
    let at = ServerTime::from_micros(45_250_000);
    let bands = [0x12, 0x34, 0x00, 0x01, 0xff, 0xff];
    for (name, figure) in [
        ("visualizer_loudness", Figure::Loudness(0xabcd)),
        ("visualizer_beat", Figure::Beat { downbeat: true }),
        ("visualizer_f_peak", Figure::FPeak { hz: 440, amplitude: 0x8001 }),
        ("visualizer_spectrum", Figure::Spectrum(Bands(&bands))),
        ("visualizer_peak", Figure::Peak(200)),
    ] {
        let frame = VisualizerFrame { at, figure };
        let bytes = hex(name);
        assert_eq!(BinaryMessage::decode(&bytes), Ok(BinaryMessage::Visualizer(frame)), "{name}");
        assert_eq!(frame.encode(), bytes, "{name}");
    }
    assert!(Bands(&bands).levels().eq([0x1234, 1, 0xffff]));
}

/// A golden file of bytes.
fn hex(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    let hex =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    hex.split_ascii_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits"))
        .collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn text(name: &str) -> String {
    let path = folder().join(format!("{name}.json"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares as JSON values: key order is free on the wire, so it is free here.
fn assert_canonical(name: &str, encoded: &str) {
    let canonical = fs::read_to_string(folder().join(format!("{name}.canonical.json")))
        .unwrap_or_else(|_| text(name));
    let expected: Value = serde_json::from_str(&canonical).expect(name);
    let encoded: Value = serde_json::from_str(encoded).expect(name);
    assert_eq!(encoded, expected, "{name}, written again");
}

fn pcm(bit_depth: u8) -> AudioFormat {
    AudioFormat { codec: Codec::Pcm, channels: 2, sample_rate: 48_000, bit_depth }
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn hellos() -> Vec<(&'static str, ClientHello)> {
    vec![
        (
            "client_hello",
            ClientHello {
                client_id: "3f6c1d8e-5a2b-4c70-9b1e-7d2a90c4e811".into(),
                name: "Kitchen".into(),
                version: 1,
                supported_roles: strings(&["player@v1", "controller@v1", "metadata@v1"]),
                device_info: Some(DeviceInfo {
                    product_name: Some("Web Browser".into()),
                    manufacturer: Some("Example Works".into()),
                    software_version: Some("12.3".into()),
                }),
                player_support: Some(PlayerSupport {
                    supported_formats: vec![pcm(24), pcm(16)],
                    buffer_capacity: 1_572_864,
                    supported_commands: vec![PlayerCommandName::Volume, PlayerCommandName::Mute],
                }),
                artwork_support: None,
                visualizer_support: None,
                party_support: None,
            },
        ),
        (
            "client_hello.minimal",
            ClientHello {
                client_id: "door-panel".into(),
                name: "Door panel".into(),
                version: 1,
                supported_roles: strings(&["metadata@v1"]),
                device_info: None,
                player_support: None,
                artwork_support: None,
                visualizer_support: None,
                party_support: None,
            },
        ),
        (
            "client_hello.newer",
            ClientHello {
                client_id: "shelf".into(),
                name: "Zimmer – \"Süd\" 🔊".into(),
                version: 1,
                supported_roles: strings(&["_vendor_lamp@v1", "color@v1", "player@v1", "player"]),
                device_info: Some(DeviceInfo {
                    product_name: Some("Shelf Speaker".into()),
                    ..DeviceInfo::default()
                }),
                player_support: Some(PlayerSupport {
                    supported_formats: vec![
                        AudioFormat { codec: Codec::Opus, ..pcm(16) },
                        AudioFormat { codec: Codec::Flac, sample_rate: 44_100, ..pcm(16) },
                    ],
                    buffer_capacity: 2_000_000,
                    supported_commands: vec![PlayerCommandName::Mute],
                }),
                artwork_support: Some(ArtworkSupport {
                    channels: vec![ArtworkChannel {
                        format: ImageFormat::Bmp,
                        media_width: 64,
                        media_height: 64,
                        ..channel()
                    }],
                }),
                visualizer_support: None,
                party_support: None,
            },
        ),
    ]
}

/// Hellos of clients that show something.
fn screens() -> Vec<(&'static str, ClientHello)> {
    vec![
        (
            "client_hello.screen",
            ClientHello {
                client_id: "wall".into(),
                name: "Wall".into(),
                version: 1,
                supported_roles: strings(&["artwork@v1", "color@v1", "visualizer@v1"]),
                device_info: None,
                player_support: None,
                artwork_support: Some(ArtworkSupport { channels: vec![channel()] }),
                visualizer_support: Some(VisualizerSupport {
                    types: vec![VisualizerType::Loudness, VisualizerType::FPeak],
                    buffer_capacity: 65_536,
                    rate_max: 30,
                    spectrum: Some(spectrum()),
                }),
                party_support: None,
            },
        ),
        (
            "client_hello.screen_of_another_generation",
            ClientHello {
                client_id: "wall".into(),
                name: "Wall".into(),
                version: 1,
                supported_roles: strings(&["visualizer@v1"]),
                device_info: None,
                player_support: None,
                artwork_support: None,
                visualizer_support: None,
                party_support: None,
            },
        ),
    ]
}

fn channel() -> ArtworkChannel {
    ArtworkChannel {
        source: ArtworkSource::Album,
        format: ImageFormat::Jpeg,
        media_width: 480,
        media_height: 320,
    }
}

fn spectrum() -> SpectrumShape {
    SpectrumShape { n_disp_bins: 32, scale: Scale::Mel, f_min: 40, f_max: 16_000 }
}

fn client_states() -> Vec<(&'static str, ClientState)> {
    let player = |player| ClientState { player: Some(player), ..ClientState::default() };
    vec![
        (
            "client_state.js_first",
            player(PlayerState {
                state: Some(OperationalState::Synchronized),
                volume: Some(80),
                muted: Some(false),
                static_delay_ms: Some(200),
                required_lead_time_ms: Some(250),
                min_buffer_ms: Some(250),
                supported_commands: Some(vec![PlayerCommandName::SetStaticDelay]),
            }),
        ),
        ("client_state.js_empty_delta", player(PlayerState::default())),
        (
            "client_state.full",
            ClientState {
                state: Some(OperationalState::ExternalSource),
                player: Some(PlayerState {
                    volume: Some(0),
                    muted: Some(true),
                    min_buffer_ms: Some(0),
                    supported_commands: Some(vec![]),
                    ..PlayerState::default()
                }),
                party: None,
            },
        ),
        ("client_state.empty", ClientState::default()),
        (
            "client_state.newer",
            player(PlayerState {
                static_delay_ms: Some(35),
                supported_commands: Some(vec![PlayerCommandName::Volume]),
                ..PlayerState::default()
            }),
        ),
    ]
}

fn controller_commands() -> Vec<(&'static str, ControllerCommand)> {
    vec![
        ("client_command.pause", ControllerCommand::Pause),
        ("client_command.volume", ControllerCommand::Volume { volume: 55 }),
        ("client_command.mute", ControllerCommand::Mute { mute: true }),
        ("client_command.seek", ControllerCommand::Seek { position_ms: 90_500 }),
        ("client_command.seek_relative", ControllerCommand::SeekRelative { offset_ms: -10_000 }),
        ("client_command.repeat_one", ControllerCommand::RepeatOne),
    ]
}

fn client_messages() -> Vec<(&'static str, ClientMessage)> {
    let time = |micros| ClientTimeRequest { client_transmitted: ClientTime::from_micros(micros) };
    let request =
        |player| StreamRequestFormat { player: Some(player), ..StreamRequestFormat::default() };
    let mut all: Vec<(&'static str, ClientMessage)> = vec![
        ("client_time", time(8_123_456_789_012).into()),
        ("client_time.payload_first", time(-5).into()),
        (
            "stream_request_format",
            request(FormatRequest {
                codec: Some(Codec::Pcm),
                channels: Some(2),
                sample_rate: Some(48_000),
                bit_depth: Some(24),
            })
            .into(),
        ),
        (
            "stream_request_format.partial",
            request(FormatRequest { bit_depth: Some(16), ..FormatRequest::default() }).into(),
        ),
        (
            "stream_request_format.artwork",
            StreamRequestFormat {
                artwork: Some(ArtworkRequest {
                    channel: 1,
                    media_width: Some(96),
                    media_height: Some(96),
                    ..ArtworkRequest::default()
                }),
                ..StreamRequestFormat::default()
            }
            .into(),
        ),
        (
            "stream_request_format.visualizer",
            StreamRequestFormat {
                visualizer: Some(VisualizerRequest {
                    types: Some(vec![VisualizerType::Spectrum, VisualizerType::Beat]),
                    rate_max: None,
                    spectrum: Some(SpectrumShape { scale: Scale::Log, ..spectrum() }),
                }),
                ..StreamRequestFormat::default()
            }
            .into(),
        ),
        ("client_goodbye", ClientGoodbye { reason: GoodbyeReason::UserRequest }.into()),
        (
            "client_goodbye.another_server",
            ClientGoodbye { reason: GoodbyeReason::AnotherServer }.into(),
        ),
        ("client_goodbye.newer", ClientGoodbye { reason: GoodbyeReason::Other }.into()),
    ];
    all.extend(hellos().into_iter().chain(screens()).map(|(name, hello)| (name, hello.into())));
    all.extend(client_states().into_iter().map(|(name, state)| (name, state.into())));
    all.extend(controller_commands().into_iter().map(|(name, command)| {
        let command = ClientCommand { controller: Some(command), party: None };
        (name, command.into())
    }));
    all
}

fn metadata() -> Vec<(&'static str, Metadata)> {
    let value = |text: &str| Field::Value(text.to_owned());
    vec![
        (
            "server_state.track",
            Metadata {
                timestamp: ServerTime::from_micros(45_000_000),
                title: value("Slow Tide"),
                artist: value("The Harbour Choir"),
                album_artist: value("Various"),
                album: value("Low Water"),
                artwork_url: value("http://127.0.0.1/cover.jpg"),
                year: Field::Value(1998),
                track: Field::Value(3),
                progress: Field::Value(Progress {
                    track_progress: 61_500,
                    track_duration: 215_000,
                    playback_speed: 1_000,
                }),
                repeat: Field::Value(Repeat::All),
                shuffle: Field::Value(true),
            },
        ),
        (
            "server_state.cleared",
            Metadata {
                timestamp: ServerTime::from_micros(46_000_000),
                title: value("Harbour radio"),
                artist: Field::Null,
                album_artist: Field::Null,
                album: Field::Null,
                artwork_url: Field::Null,
                year: Field::Null,
                track: Field::Null,
                progress: Field::Null,
                repeat: Field::Value(Repeat::Off),
                shuffle: Field::Value(false),
            },
        ),
        (
            "server_state.delta",
            Metadata {
                timestamp: ServerTime::from_micros(47_000_000),
                title: Field::Absent,
                artist: Field::Absent,
                album_artist: Field::Absent,
                album: Field::Null,
                artwork_url: Field::Absent,
                year: Field::Absent,
                track: Field::Absent,
                progress: Field::Value(Progress {
                    track_progress: 0,
                    track_duration: 0,
                    playback_speed: 0,
                }),
                repeat: Field::Absent,
                shuffle: Field::Absent,
            },
        ),
    ]
}

fn colors() -> Vec<(&'static str, ColorState)> {
    let timestamp = ServerTime::from_micros(45_000_000);
    vec![
        (
            "server_state.color",
            ColorState {
                timestamp,
                background_dark: Field::Value([18, 24, 32]),
                background_light: Field::Value([230, 236, 240]),
                primary: Field::Value([70, 100, 140]),
                accent: Field::Value([220, 120, 40]),
                on_dark: Field::Value([240, 200, 170]),
                on_light: Field::Value([90, 50, 20]),
            },
        ),
        (
            "server_state.color_cleared",
            ColorState {
                timestamp,
                background_dark: Field::Null,
                background_light: Field::Null,
                primary: Field::Null,
                accent: Field::Null,
                on_dark: Field::Null,
                on_light: Field::Absent,
            },
        ),
    ]
}

fn controller_states() -> Vec<(&'static str, ControllerState)> {
    vec![
        (
            "server_state.controller",
            ControllerState {
                supported_commands: strings(&["volume", "mute", "switch", "levitate"]),
                volume: 64,
                muted: false,
                repeat: Some(Repeat::One),
                shuffle: Some(false),
                seek_max_ms: None,
            },
        ),
        (
            "server_state.controller_january",
            ControllerState {
                supported_commands: vec![],
                volume: 100,
                muted: true,
                repeat: None,
                shuffle: None,
                seek_max_ms: None,
            },
        ),
    ]
}

fn streams() -> Vec<(&'static str, ServerMessage)> {
    vec![
        (
            "stream_start.pcm",
            StreamStart {
                server_transmitted: Some(ServerTime::from_micros(45_200_000)),
                player: Some(StreamFormat { format: pcm(16), codec_header: None }),
                ..StreamStart::default()
            }
            .into(),
        ),
        (
            "stream_start.flac",
            StreamStart {
                server_transmitted: None,
                player: Some(StreamFormat {
                    format: AudioFormat { codec: Codec::Flac, sample_rate: 44_100, ..pcm(16) },
                    codec_header: Some(
                        "ZkxhQ4AAACISABIAAAAAAAAACsRC8AAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
                    ),
                }),
                ..StreamStart::default()
            }
            .into(),
        ),
        (
            "stream_clear",
            StreamClear {
                server_transmitted: Some(ServerTime::from_micros(45_300_000)),
                roles: Some(strings(&["player"])),
            }
            .into(),
        ),
        ("stream_clear.all", StreamClear::default().into()),
        ("stream_end", StreamEnd { roles: Some(strings(&["player", "artwork"])) }.into()),
        ("stream_end.all", StreamEnd { roles: None }.into()),
    ]
}

fn visual_streams() -> Vec<(&'static str, ServerMessage)> {
    vec![
        (
            "stream_start.artwork_only",
            StreamStart {
                artwork: Some(ArtworkStream {
                    channels: vec![
                        ArtworkStreamChannel {
                            source: ArtworkSource::Album,
                            format: Some(ImageFormat::Jpeg),
                            width: Some(300),
                            height: Some(300),
                        },
                        ArtworkStreamChannel {
                            source: ArtworkSource::None,
                            format: None,
                            width: None,
                            height: None,
                        },
                    ],
                }),
                ..StreamStart::default()
            }
            .into(),
        ),
        (
            "stream_start.visualizer",
            StreamStart {
                visualizer: Some(VisualizerStream {
                    types: vec![VisualizerType::Peak, VisualizerType::Spectrum],
                    rate_max: 30,
                    tracks_downbeats: Some(false),
                    spectrum: Some(spectrum()),
                }),
                ..StreamStart::default()
            }
            .into(),
        ),
    ]
}

fn server_hellos() -> Vec<(&'static str, ServerHello)> {
    vec![
        (
            "server_hello",
            ServerHello {
                server_id: "garden-party".into(),
                name: "Garden party".into(),
                version: 1,
                active_roles: strings(&["player@v1", "metadata@v1"]),
                connection_reason: ConnectionReason::Discovery,
            },
        ),
        (
            "server_hello.payload_first",
            ServerHello {
                server_id: "b1946ac9".into(),
                name: "Loft".into(),
                version: 1,
                active_roles: vec![],
                connection_reason: ConnectionReason::Playback,
            },
        ),
    ]
}

fn player_commands() -> Vec<(&'static str, PlayerCommand)> {
    vec![
        ("server_command.volume", PlayerCommand::Volume { volume: 33 }),
        ("server_command.mute", PlayerCommand::Mute { mute: false }),
        ("server_command.static_delay", PlayerCommand::SetStaticDelay { static_delay_ms: 180 }),
    ]
}

fn server_messages() -> Vec<(&'static str, ServerMessage)> {
    let mut all: Vec<(&'static str, ServerMessage)> = vec![
        (
            "server_time",
            ServerTimeReply {
                client_transmitted: ClientTime::from_micros(8_123_456_789_012),
                server_received: ServerTime::from_micros(45_000_123),
                server_transmitted: ServerTime::from_micros(45_000_180),
            }
            .into(),
        ),
        (
            "group_update",
            GroupUpdate {
                playback_state: Some(PlaybackState::Playing),
                group_id: Some("9d0c".into()),
                group_name: Some("Garden party".into()),
            }
            .into(),
        ),
        (
            "group_update.partial",
            GroupUpdate { playback_state: Some(PlaybackState::Stopped), ..GroupUpdate::default() }
                .into(),
        ),
    ];
    all.extend(streams().into_iter().chain(visual_streams()));
    all.extend(server_hellos().into_iter().map(|(name, hello)| (name, hello.into())));
    all.extend(metadata().into_iter().map(|(name, metadata)| {
        let state = ServerState { metadata: Some(metadata), ..ServerState::default() };
        (name, state.into())
    }));
    all.extend(controller_states().into_iter().map(|(name, controller)| {
        let state = ServerState { controller: Some(controller), ..ServerState::default() };
        (name, state.into())
    }));
    all.extend(colors().into_iter().map(|(name, color)| {
        let state = ServerState { color: Some(color), ..ServerState::default() };
        (name, state.into())
    }));
    all.extend(player_commands().into_iter().map(|(name, command)| {
        let command = ServerCommand { player: Some(command) };
        (name, command.into())
    }));
    all
}
