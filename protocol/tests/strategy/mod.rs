//! Arbitrary messages.

mod visual;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use protocol::audio::{AudioFormat, Codec};
use protocol::message::{
    ClientCommand, ClientGoodbye, ClientHello, ClientMessage, ClientState, ClientTimeRequest,
    ConnectionReason, ControllerCommand, ControllerState, DeviceInfo, Field, FormatRequest,
    GoodbyeReason, GroupUpdate, Metadata, OperationalState, PartyCommand, PartyState, PartySupport,
    PlaybackState, PlayerCommand, PlayerCommandName, PlayerInfo, PlayerState, PlayerSupport,
    Progress, QueueEntry, Repeat, Rights, ServerCommand, ServerHello, ServerMessage, ServerState,
    ServerTimeReply, StreamClear, StreamEnd, StreamFormat, StreamRequestFormat, StreamStart,
    SyncReport,
};
use protocol::time::{ClientTime, ServerTime};
use serde_json::Value;

/// Any message of a client.
pub(crate) fn client_message() -> impl Strategy<Value = ClientMessage> {
    let time = any::<i64>().prop_map(|micros| ClientTimeRequest {
        client_transmitted: ClientTime::from_micros(micros),
    });
    let state =
        (option::of(operational_state()), option::of(player_state()), option::of(sync_report()))
            .prop_map(|(state, player, party)| ClientState { state, player, party });
    let command = (option::of(controller_command()), option::of(party_command()))
        .prop_map(|(controller, party)| ClientCommand { controller, party });
    let request = (
        option::of(format_request()),
        option::of(visual::artwork_request()),
        option::of(visual::visualizer_request()),
    )
        .prop_map(|(player, artwork, visualizer)| StreamRequestFormat {
            player,
            artwork,
            visualizer,
        });
    let goodbye = select(vec![
        GoodbyeReason::AnotherServer,
        GoodbyeReason::Shutdown,
        GoodbyeReason::Restart,
        GoodbyeReason::UserRequest,
        GoodbyeReason::Other,
    ])
    .prop_map(|reason| ClientGoodbye { reason });
    prop_oneof![
        client_hello().prop_map(ClientMessage::Hello),
        time.prop_map(ClientMessage::Time),
        state.prop_map(ClientMessage::State),
        command.prop_map(ClientMessage::Command),
        request.prop_map(ClientMessage::RequestFormat),
        goodbye.prop_map(ClientMessage::Goodbye),
    ]
}

/// Any message of a server.
pub(crate) fn server_message() -> impl Strategy<Value = ServerMessage> {
    let state = (
        option::of(metadata()),
        option::of(controller_state()),
        option::of(visual::color_state()),
        option::of(party_state()),
    )
        .prop_map(|(metadata, controller, color, party)| ServerState {
            metadata,
            controller,
            color,
            party,
        });
    let command = option::of(player_command()).prop_map(|player| ServerCommand { player });
    let clear = (option::of(server_time()), option::of(words()))
        .prop_map(|(server_transmitted, roles)| StreamClear { server_transmitted, roles });
    let end = option::of(words()).prop_map(|roles| StreamEnd { roles });
    prop_oneof![
        server_hello().prop_map(ServerMessage::Hello),
        time_reply().prop_map(ServerMessage::Time),
        state.prop_map(ServerMessage::State),
        command.prop_map(ServerMessage::Command),
        stream_start().prop_map(ServerMessage::StreamStart),
        clear.prop_map(ServerMessage::StreamClear),
        end.prop_map(ServerMessage::StreamEnd),
        group_update().prop_map(ServerMessage::GroupUpdate),
    ]
}

/// A field that is absent, null or a value.
pub(crate) fn field<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Field<T>> {
    prop_oneof![Just(Field::Absent), Just(Field::Null), value.prop_map(Field::Value),]
}

/// Metadata that says nothing but when.
pub(crate) fn bare_metadata(timestamp: ServerTime) -> Metadata {
    Metadata {
        timestamp,
        title: Field::Absent,
        artist: Field::Absent,
        album_artist: Field::Absent,
        album: Field::Absent,
        artwork_url: Field::Absent,
        year: Field::Absent,
        track: Field::Absent,
        progress: Field::Absent,
        repeat: Field::Absent,
        shuffle: Field::Absent,
    }
}

/// Any JSON, a few levels deep.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((key(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A type of either direction, or none at all.
pub(crate) fn type_name() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "client/hello",
            "client/time",
            "client/state",
            "client/command",
            "client/goodbye",
            "stream/request-format",
            "server/hello",
            "server/time",
            "server/state",
            "server/command",
            "stream/start",
            "stream/clear",
            "stream/end",
            "group/update",
        ])
        .prop_map(String::from),
        "\\PC{0,8}",
    ]
}

/// A key that means something somewhere, so that arbitrary JSON gets past the first check.
fn key() -> impl Strategy<Value = String> {
    select(vec![
        "player",
        "controller",
        "metadata",
        "command",
        "volume",
        "mute",
        "timestamp",
        "progress",
        "client_id",
        "name",
        "version",
        "supported_roles",
        "player@v1_support",
        "artwork@v1_support",
        "visualizer@v1_support",
        "artwork",
        "visualizer",
        "color",
        "channels",
        "types",
        "spectrum",
        "supported_formats",
        "supported_commands",
        "client_transmitted",
        "codec",
        "roles",
        "playback_state",
    ])
    .prop_map(String::from)
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_@0-9]{0,12}", "\\PC{0,12}", any::<String>()]
}

fn words() -> impl Strategy<Value = Vec<String>> {
    vec(word(), 0..6)
}

fn server_time() -> impl Strategy<Value = ServerTime> {
    any::<i64>().prop_map(ServerTime::from_micros)
}

fn codec() -> impl Strategy<Value = Codec> {
    select(vec![Codec::Pcm, Codec::Flac, Codec::Opus])
}

fn format() -> impl Strategy<Value = AudioFormat> {
    (codec(), any::<u8>(), any::<u32>(), any::<u8>()).prop_map(
        |(codec, channels, sample_rate, bit_depth)| AudioFormat {
            codec,
            channels,
            sample_rate,
            bit_depth,
        },
    )
}

fn operational_state() -> impl Strategy<Value = OperationalState> {
    select(vec![
        OperationalState::Synchronized,
        OperationalState::Error,
        OperationalState::ExternalSource,
    ])
}

fn command_names() -> impl Strategy<Value = Vec<PlayerCommandName>> {
    let name = select(vec![
        PlayerCommandName::Volume,
        PlayerCommandName::Mute,
        PlayerCommandName::SetStaticDelay,
    ]);
    vec(name, 0..4)
}

fn client_hello() -> impl Strategy<Value = ClientHello> {
    let device = (option::of(word()), option::of(word()), option::of(word())).prop_map(
        |(product_name, manufacturer, software_version)| DeviceInfo {
            product_name,
            manufacturer,
            software_version,
        },
    );
    let support = (vec(format(), 0..5), any::<u64>(), command_names()).prop_map(
        |(supported_formats, buffer_capacity, supported_commands)| PlayerSupport {
            supported_formats,
            buffer_capacity,
            supported_commands,
        },
    );
    let party = option::of(word()).prop_map(|host_key| PartySupport { host_key });
    let support = (
        option::of(support),
        option::of(visual::artwork_support()),
        option::of(visual::visualizer_support()),
        option::of(party),
    );
    (word(), word(), any::<u32>(), words(), option::of(device), support).prop_map(
        |(client_id, name, version, supported_roles, device_info, support)| ClientHello {
            client_id,
            name,
            version,
            supported_roles,
            device_info,
            player_support: support.0,
            artwork_support: support.1,
            visualizer_support: support.2,
            party_support: support.3,
        },
    )
}

fn party_state() -> impl Strategy<Value = PartyState> {
    let rights =
        select(vec![Rights::Listen, Rights::Volume, Rights::Skip, Rights::All, Rights::Host]);
    let entry = (any::<u64>(), word(), option::of(word()), option::of(any::<u64>()))
        .prop_map(|(id, title, artist, duration_ms)| QueueEntry { id, title, artist, duration_ms });
    let player = (
        word(),
        word(),
        option::of(any::<u8>()),
        option::of(any::<bool>()),
        option::of(sync_report()),
    )
        .prop_map(|(id, name, volume, muted, sync)| PlayerInfo {
            id,
            name,
            volume,
            muted,
            sync,
        });
    (rights, any::<[bool; 2]>(), vec(entry, 0..4), option::of(vec(player, 0..4))).prop_map(
        |(rights, [key_refused, report], next_up, players)| PartyState {
            rights,
            key_refused,
            next_up,
            players,
            report,
        },
    )
}

fn sync_report() -> impl Strategy<Value = SyncReport> {
    let whole = || any::<i32>().prop_map(f64::from);
    (any::<bool>(), option::of(whole()), whole(), any::<[u64; 2]>()).prop_map(
        |(playing, error_us, buffered_ms, [reanchors, underruns])| SyncReport {
            playing,
            error_us,
            buffered_ms,
            reanchors,
            underruns,
        },
    )
}

fn party_command() -> impl Strategy<Value = PartyCommand> {
    prop_oneof![
        (word(), any::<u8>())
            .prop_map(|(player, volume)| PartyCommand::PlayerVolume { player, volume }),
        (word(), any::<bool>())
            .prop_map(|(player, mute)| PartyCommand::PlayerMute { player, mute }),
        any::<u64>().prop_map(|entry| PartyCommand::PlayEntry { entry }),
        word().prop_map(|name| PartyCommand::Rename { name }),
    ]
}

fn player_state() -> impl Strategy<Value = PlayerState> {
    (
        option::of(operational_state()),
        option::of(any::<u8>()),
        option::of(any::<bool>()),
        [option::of(any::<u32>()), option::of(any::<u32>()), option::of(any::<u32>())],
        option::of(command_names()),
    )
        .prop_map(|(state, volume, muted, millis, supported_commands)| PlayerState {
            state,
            volume,
            muted,
            static_delay_ms: millis[0],
            required_lead_time_ms: millis[1],
            min_buffer_ms: millis[2],
            supported_commands,
        })
}

fn controller_command() -> impl Strategy<Value = ControllerCommand> {
    prop_oneof![
        select(vec![
            ControllerCommand::Play,
            ControllerCommand::Pause,
            ControllerCommand::Stop,
            ControllerCommand::Next,
            ControllerCommand::Previous,
            ControllerCommand::RepeatOff,
            ControllerCommand::RepeatOne,
            ControllerCommand::RepeatAll,
            ControllerCommand::Shuffle,
            ControllerCommand::Unshuffle,
            ControllerCommand::Switch,
        ]),
        any::<u8>().prop_map(|volume| ControllerCommand::Volume { volume }),
        any::<bool>().prop_map(|mute| ControllerCommand::Mute { mute }),
        any::<u64>().prop_map(|position_ms| ControllerCommand::Seek { position_ms }),
        any::<i64>().prop_map(|offset_ms| ControllerCommand::SeekRelative { offset_ms }),
    ]
}

fn format_request() -> impl Strategy<Value = FormatRequest> {
    (
        option::of(codec()),
        option::of(any::<u8>()),
        option::of(any::<u32>()),
        option::of(any::<u8>()),
    )
        .prop_map(|(codec, channels, sample_rate, bit_depth)| FormatRequest {
            codec,
            channels,
            sample_rate,
            bit_depth,
        })
}

fn server_hello() -> impl Strategy<Value = ServerHello> {
    let reason = select(vec![ConnectionReason::Discovery, ConnectionReason::Playback]);
    (word(), word(), any::<u32>(), words(), reason).prop_map(
        |(server_id, name, version, active_roles, connection_reason)| ServerHello {
            server_id,
            name,
            version,
            active_roles,
            connection_reason,
        },
    )
}

fn time_reply() -> impl Strategy<Value = ServerTimeReply> {
    (any::<i64>(), server_time(), server_time()).prop_map(
        |(client_transmitted, server_received, server_transmitted)| ServerTimeReply {
            client_transmitted: ClientTime::from_micros(client_transmitted),
            server_received,
            server_transmitted,
        },
    )
}

fn repeat() -> impl Strategy<Value = Repeat> {
    select(vec![Repeat::Off, Repeat::One, Repeat::All])
}

fn metadata() -> impl Strategy<Value = Metadata> {
    let progress = (any::<u64>(), any::<u64>(), any::<u32>()).prop_map(
        |(track_progress, track_duration, playback_speed)| Progress {
            track_progress,
            track_duration,
            playback_speed,
        },
    );
    let texts = (field(word()), field(word()), field(word()), field(word()), field(word()));
    let numbers = (field(any::<u32>()), field(any::<u32>()), field(progress));
    (server_time(), texts, numbers, field(repeat()), field(any::<bool>())).prop_map(
        |(timestamp, texts, numbers, repeat, shuffle)| {
            let (title, artist, album_artist, album, artwork_url) = texts;
            let (year, track, progress) = numbers;
            Metadata {
                timestamp,
                title,
                artist,
                album_artist,
                album,
                artwork_url,
                year,
                track,
                progress,
                repeat,
                shuffle,
            }
        },
    )
}

fn controller_state() -> impl Strategy<Value = ControllerState> {
    let order = (option::of(repeat()), option::of(any::<bool>()));
    (words(), any::<u8>(), any::<bool>(), order, option::of(any::<u64>())).prop_map(
        |(supported_commands, volume, muted, (repeat, shuffle), seek_max_ms)| ControllerState {
            supported_commands,
            volume,
            muted,
            repeat,
            shuffle,
            seek_max_ms,
        },
    )
}

fn player_command() -> impl Strategy<Value = PlayerCommand> {
    prop_oneof![
        any::<u8>().prop_map(|volume| PlayerCommand::Volume { volume }),
        any::<bool>().prop_map(|mute| PlayerCommand::Mute { mute }),
        any::<u32>().prop_map(|static_delay_ms| PlayerCommand::SetStaticDelay { static_delay_ms }),
    ]
}

fn stream_start() -> impl Strategy<Value = StreamStart> {
    let player = (format(), option::of(word()))
        .prop_map(|(format, codec_header)| StreamFormat { format, codec_header });
    let visual = (option::of(visual::artwork_stream()), option::of(visual::visualizer_stream()));
    (option::of(server_time()), option::of(player), visual).prop_map(
        |(server_transmitted, player, (artwork, visualizer))| StreamStart {
            server_transmitted,
            player,
            artwork,
            visualizer,
        },
    )
}

fn group_update() -> impl Strategy<Value = GroupUpdate> {
    let playback = select(vec![PlaybackState::Playing, PlaybackState::Stopped]);
    (option::of(playback), option::of(word()), option::of(word())).prop_map(
        |(playback_state, group_id, group_name)| GroupUpdate {
            playback_state,
            group_id,
            group_name,
        },
    )
}
