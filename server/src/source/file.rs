//! Reads one audio file, again and again.
//!
//! The file is opened once and held: each pass starts at its first byte with a fresh demuxer and decoder,
//! so a loop begins exactly as the first pass did. It is never read ahead of the decoder.
//!
//! Files come from anywhere, and symphonia 0.6.1 panics on some of them (a broken WAV header is enough, the
//! property tests find it), so every call into it is guarded: a crafted file may lose its own turn, never
//! the party.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use symphonia::core::audio::{Channels, GenericAudioBufferRef};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_ALAC, CODEC_ID_VORBIS};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::common::Limit;
use symphonia::core::errors::{Error, SeekErrorKind};
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{
    FORMAT_ID_AIFF, FORMAT_ID_FLAC, FORMAT_ID_ISOMP4, FORMAT_ID_WAVE,
};
use symphonia::core::formats::{
    FormatOptions, FormatReader, SeekMode, SeekTo, Track as MediaTrack, TrackType,
};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{MetadataOptions, RawValue};
use symphonia::core::packet::Packet;
use symphonia::core::units::{TimeBase, Timestamp};
use tracing::warn;

use super::downmix::Downmix;
use super::gain::GainTags;
use super::gapless::{self, Span};
use super::shared_file::SharedFile;
use super::track::Track;
use super::{CHANNELS, Fault, vorbis_setup};

/// Sample rates accepted, in Hz: telephone to the highest studio rate. A rate beyond is damage or malice,
/// and would make the resampler work without end.
pub(super) const RATES_HZ: RangeInclusive<u32> = 8_000..=384_000;

/// Packets in a row that may fail before a track is given up: at 20 ms and more each, over 10 s without
/// sound.
const FAILURES_MAX: u32 = 500;

/// Frames that are decoded before the one that is gone to, and not heard: what follows in lossy formats depends on the
/// packets before it. The most is MP3 at its lowest rate, whose packet may lean on the nine before it, of 1152 frames.
const RUN_UP_FRAMES: u64 = 12 * 1152;

/// Loudest sample taken from a floating-point file, +18 dB. Without it one absurd value would smear over
/// a whole block in the resampler.
const SAMPLE_MAX: f32 = 8.0;

/// Data lengths from here on are what programs write that did not know the length (`sox` 0x7ffff000,
/// others up to 0xffffffff), and promise nothing.
const UNKNOWN_LENGTH_BYTES: u64 = 0x7fff_0000;

/// Stereo samples at the rate of the file.
pub(super) struct Block {
    /// Left and right in turn.
    pub(super) samples: Vec<f32>,
    /// Their rate in Hz, within [`RATES_HZ`].
    pub(super) rate_hz: u32,
    /// Bits that carry information, 16 or 24, as in [`super::Pcm`].
    pub(super) resolution_bits: u32,
}

/// An audio file that stays open.
pub(super) struct MediaFile {
    path: PathBuf,
    handle: Arc<File>,
    track: Track,
    gain: Option<f32>,
    pass: Option<Pass>,
    /// Damage the log knows about: a loop would otherwise repeat the same warning all night.
    packets_lost_logged: u64,
}

impl MediaFile {
    /// Opens a file, reads its header and tags, and decodes until there is sound. `track` is what is known about it
    /// otherwise, for what its tags do not tell.
    ///
    /// # Errors
    ///
    /// A [`Fault`] that says why it cannot be played.
    pub(super) fn open(path: &Path, mut track: Track) -> Result<Self, Fault> {
        let handle = Arc::new(open_regular(path)?);
        let mut pass = Pass::begin(&handle)?;
        if pass.next_block()?.is_none() {
            let reason = pass.last_failure.unwrap_or_else(|| "no sound in it".to_owned());
            return Err(Fault::Undecodable(reason));
        }
        let gain = pass.read_tags(&mut track).factor();
        if pass.is_cut_off() {
            return Err(Fault::CutOff);
        }
        Ok(Self { path: path.to_owned(), handle, track, gain, pass: None, packets_lost_logged: 0 })
    }

    /// By what its tags ask its samples to be multiplied.
    pub(super) fn gain(&self) -> Option<f32> {
        self.gain
    }

    /// What the file says about itself.
    pub(super) fn track(&self) -> &Track {
        &self.track
    }

    /// Goes back to the first frame. On an error it stays where it is.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the file no longer begins with sound.
    pub(super) fn rewind(&mut self) -> Result<(), Fault> {
        self.pass = Some(Pass::begin(&self.handle)?);
        Ok(())
    }

    /// Goes to a position, to the frame. Past the end, it is the end. On an error it stays where it is.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the file no longer begins with sound, or its format has no way there.
    pub(super) fn seek(&mut self, position_ms: u64) -> Result<(), Fault> {
        let mut pass = Pass::begin(&self.handle)?;
        self.pass = pass.seek(position_ms)?.then_some(pass);
        Ok(())
    }

    /// Stops decoding, and keeps the file.
    pub(super) fn stop(&mut self) {
        self.pass = None;
    }

    /// The next samples, or `None` at the end of the file and until [`Self::rewind`].
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the rest of the file cannot be played. The pass is over then, too.
    pub(super) fn next_block(&mut self) -> Result<Option<Block>, Fault> {
        let Some(pass) = &mut self.pass else {
            return Ok(None);
        };
        let block = pass.next_block();
        if matches!(block, Ok(Some(_))) {
            return block;
        }
        if pass.packets_lost != self.packets_lost_logged {
            self.packets_lost_logged = pass.packets_lost;
            let (path, packets, reason) = (&self.path, pass.packets_lost, &pass.last_failure);
            warn!(?path, packets, ?reason, "damaged packets were left out");
        }
        self.pass = None;
        block
    }
}

/// What is wrong with a file that the system does not give.
pub(super) fn io_fault(error: io::Error) -> Fault {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Fault::Missing,
        _ => Fault::Unreadable(error),
    }
}

/// Opens a regular file that is not empty.
///
/// # Errors
///
/// What it is instead.
pub(super) fn open_regular(path: &Path) -> Result<File, Fault> {
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let metadata = std::fs::metadata(path).map_err(io_fault)?;
    if metadata.is_dir() {
        return Err(Fault::Directory);
    }
    if !metadata.is_file() {
        return Err(Fault::Special);
    }
    if metadata.len() == 0 {
        return Err(Fault::Empty);
    }
    File::open(path).map_err(io_fault)
}

/// One run through a file, or through a stream that has an end.
pub(super) struct Pass {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track_id: u32,
    span: Span,
    /// The first frame that is wanted, after a seek.
    wanted_from: u64,
    mix: Option<(Channels, Downmix)>,
    packets_lost: u64,
    last_failure: Option<String>,
    /// Where the next packet begins if nothing is missing, for containers that count frames.
    next_frame: Option<i64>,
}

impl Pass {
    fn begin(handle: &Arc<File>) -> Result<Self, Fault> {
        let mut pass = Self::over(Box::new(SharedFile::new(handle)?))?;
        let span = find_span(pass.reader.as_mut(), pass.track_id, handle);
        pass.span = span.unwrap_or(Span::ALL);
        Ok(pass)
    }

    /// Begins with whatever `source` gives, which need not be able to seek.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when it does not begin as any format we know.
    pub(super) fn over(source: Box<dyn MediaSource>) -> Result<Self, Fault> {
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        // Pictures are not used, and can be many times larger than everything else in memory.
        let metadata_options = MetadataOptions::default().limit_visual_bytes(Limit::Maximum(0));
        let reader = guard(|| {
            let probe = symphonia::default::get_probe();
            probe.probe(&Hint::new(), stream, FormatOptions::default(), metadata_options)
        })?
        .map_err(|error| Fault::Unrecognised(error.to_string()))?;
        let (track_id, decoder) = make_decoder(reader.as_ref())?;
        let (packets_lost, last_failure) = (0, None);
        Ok(Self {
            reader,
            decoder,
            track_id,
            span: Span::ALL,
            wanted_from: 0,
            mix: None,
            packets_lost,
            last_failure,
            next_frame: None,
        })
    }

    /// Goes to a position. Returns whether there is something from there on.
    fn seek(&mut self, position_ms: u64) -> Result<bool, Fault> {
        let no_way = || Fault::Unsupported("it has no positions to go to".to_owned());
        let rate = self.decoder.codec_params().sample_rate.ok_or_else(no_way)?;
        let track = self.media_track().ok_or_else(no_way)?;
        let base = track.time_base.ok_or_else(no_way)?;
        // Streams that were recorded in the middle begin with a later time, and a run-up with an earlier one.
        let first = u64::try_from(track.start_ts.get()).unwrap_or(0);
        let frames = u128::from(position_ms) * u128::from(rate) / 1_000;
        let first = frames_of(first, base, rate);
        let start = first.saturating_add(self.span.start);
        self.wanted_from = u64::try_from(frames).unwrap_or(u64::MAX).saturating_add(start);
        let run_up_from = self.wanted_from.saturating_sub(RUN_UP_FRAMES).max(first);
        let ticks = u128::from(run_up_from) * u128::from(base.denom.get())
            / (u128::from(rate.max(1)) * u128::from(base.numer.get()));
        let Ok(ts) = i64::try_from(ticks) else {
            return Ok(false);
        };
        let to = SeekTo::Timestamp { ts: Timestamp::new(ts), track_id: self.track_id };
        let reader = &mut self.reader;
        match guard(|| reader.seek(SeekMode::Accurate, to))? {
            Ok(_) => {}
            Err(Error::SeekError(SeekErrorKind::OutOfRange)) => return Ok(false),
            Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                return Ok(false);
            }
            Err(Error::IoError(error)) => return Err(Fault::Unreadable(error)),
            Err(_) => return Err(no_way()),
        }
        let decoder = &mut self.decoder;
        guard(|| decoder.reset())?;
        Ok(true)
    }

    /// The next samples, or `None` at the end.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the rest cannot be played.
    pub(super) fn next_block(&mut self) -> Result<Option<Block>, Fault> {
        let mut failures = 0;
        while failures < FAILURES_MAX {
            let error = match guard(|| self.reader.next_packet())? {
                Ok(Some(packet)) if packet.track_id != self.track_id => continue,
                Ok(Some(packet)) => match self.look_for_holes(&packet).decode(&packet)? {
                    Ok(block) if block.samples.is_empty() => continue,
                    Ok(block) => return Ok(Some(block)),
                    Err(error) => error,
                },
                Ok(None) => return Ok(None),
                Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                Err(Error::IoError(error)) => return Err(Fault::Unreadable(error)),
                Err(error) => error,
            };
            failures += 1;
            if matches!(error, Error::ResetRequired) {
                (self.track_id, self.decoder) = make_decoder(self.reader.as_ref())?;
            } else {
                self.packets_lost += 1;
                self.last_failure = Some(error.to_string());
            }
        }
        let reason = self.last_failure.clone();
        Err(Fault::Undecodable(reason.unwrap_or_else(|| "it keeps starting over".to_owned())))
    }

    /// Takes over what the reader has found out about the music since the last call.
    pub(super) fn read_news(&mut self, track: &mut Track) {
        if !self.reader.metadata().is_latest() {
            track.read_tags(self.reader.as_mut());
        }
    }

    /// Takes over what the reader knows about the music, and returns what it says about loudness.
    pub(super) fn read_tags(&mut self, track: &mut Track) -> GainTags {
        let gain = track.read_tags(self.reader.as_mut());
        track.duration_ms = self.duration_ms();
        gain
    }

    /// Notices what a reader skips in silence: some look for the next intact packet by themselves.
    fn look_for_holes(&mut self, packet: &Packet) -> &mut Self {
        if !self.counts_frames() {
            return self;
        }
        let first = packet.pts.get();
        if let Some(missing) = self.next_frame.map(|next| first.saturating_sub(next))
            && missing > 0
        {
            self.packets_lost += 1;
            self.last_failure = Some(format!("{missing} frames are missing"));
        }
        self.next_frame = Some(packet.pts.saturating_add(packet.dur).get());
        self
    }

    /// Whether the reader's time is in frames.
    fn counts_frames(&self) -> bool {
        let rate = self.decoder.codec_params().sample_rate;
        let base = self.media_track().and_then(|track| track.time_base);
        base.is_some_and(|base| base.numer.get() == 1 && Some(base.denom.get()) == rate)
    }

    /// Decodes one packet. The outer error ends the pass, the inner one costs this packet only.
    fn decode(&mut self, packet: &Packet) -> Result<Result<Block, Error>, Fault> {
        let decoder = &mut self.decoder;
        let decoded = guard(|| {
            let bits_per_sample = bits_per_sample(decoder.codec_params());
            decoder.decode(packet).map(|buffer| Decoded::copy(&buffer, bits_per_sample))
        })?;
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(error) => return Ok(Err(error)),
        };
        check_rate(decoded.rate_hz)?;
        let base = self.media_track().and_then(|track| track.time_base);
        let mix = match &mut self.mix {
            Some((channels, mix)) if *channels == decoded.channels => mix,
            mix => {
                let downmix = Downmix::new(&decoded.channels)?;
                &mut mix.insert((decoded.channels, downmix)).1
            }
        };
        let mut samples = mix.apply(&decoded.interleaved);
        let first = u64::try_from(packet.pts.get()).unwrap_or(0);
        let frames = samples.len() / CHANNELS;
        let mut heard = self.span.within(first, frames);
        if self.wanted_from > 0 {
            let first = base.map_or(first, |base| frames_of(first, base, decoded.rate_hz));
            let wanted = Span { start: self.wanted_from, end: u64::MAX }.within(first, frames);
            heard = heard.start.max(wanted.start)..heard.end.max(wanted.start);
        }
        samples.truncate(heard.end * CHANNELS);
        samples.drain(..heard.start * CHANNELS);
        let resolution_bits = if mix.is_exact() { decoded.resolution_bits } else { 24 };
        Ok(Ok(Block { samples, rate_hz: decoded.rate_hz, resolution_bits }))
    }

    fn media_track(&self) -> Option<&MediaTrack> {
        self.reader.tracks().iter().find(|track| track.id == self.track_id)
    }

    fn duration_ms(&self) -> Option<u64> {
        let track = self.media_track()?;
        let rate = self.decoder.codec_params().sample_rate.filter(|rate| *rate > 0);
        if let (Some(frames), Some(rate)) = (track.num_frames, rate) {
            let heard = frames.min(self.span.end).saturating_sub(self.span.start);
            let ms = (u128::from(heard) * 1000 + u128::from(rate) / 2) / u128::from(rate);
            return u64::try_from(ms).ok();
        }
        let length = track.time_base?.calc_duration(track.duration?)?;
        u64::try_from(length.as_millis()).ok()
    }

    /// Whether the file ends before the last frame its header announces.
    ///
    /// Looks at the place where that frame must be, so it costs a few reads and never a scan. MP3, ADTS
    /// and Ogg do not announce a length that could be held against them. Leaves the pass at its end.
    fn is_cut_off(&mut self) -> bool {
        let Some(last_frame) = self.announced_frames().and_then(|frames| frames.checked_sub(1))
        else {
            return false;
        };
        let Ok(ts) = i64::try_from(last_frame) else {
            return true;
        };
        let to = SeekTo::Timestamp { ts: Timestamp::new(ts), track_id: self.track_id };
        let reader = &mut self.reader;
        match guard(|| reader.seek(SeekMode::Accurate, to)) {
            Ok(Ok(_)) => {}
            Ok(Err(Error::IoError(error))) => return error.kind() == ErrorKind::UnexpectedEof,
            // Cannot tell. It began with sound, so it may have its try.
            _ => return false,
        }
        while let Ok(Ok(Some(packet))) = guard(|| reader.next_packet()) {
            let end = packet.pts.saturating_add(packet.dur).get();
            if packet.track_id == self.track_id && end > ts {
                return packet.data.is_empty();
            }
        }
        true
    }

    /// Length in frames, for formats that state it and can be asked for any frame of it.
    fn announced_frames(&self) -> Option<u64> {
        let track = self.media_track()?;
        let frames = track.num_frames?;
        let params = audio_params(track)?;
        let format = self.reader.format_info().format;
        if format == FORMAT_ID_WAVE || format == FORMAT_ID_AIFF {
            let bits = u64::from(params.bits_per_coded_sample.unwrap_or(8));
            let channels = params.channels.as_ref().map_or(1, Channels::count) as u64;
            let bytes = frames.saturating_mul(bits * channels) / 8;
            return (bytes < UNKNOWN_LENGTH_BYTES).then_some(frames);
        }
        (format == FORMAT_ID_FLAC || format == FORMAT_ID_ISOMP4).then_some(frames)
    }
}

/// The contents of a decoder's buffer, in the order of the channels' positions.
struct Decoded {
    interleaved: Vec<f32>,
    channels: Channels,
    rate_hz: u32,
    resolution_bits: u32,
}

impl Decoded {
    fn copy(buffer: &GenericAudioBufferRef<'_>, bits_per_sample: Option<u32>) -> Self {
        use GenericAudioBufferRef as Buffer;
        let mut interleaved = Vec::new();
        buffer.copy_to_vec_interleaved::<f32>(&mut interleaved);
        let resolution_bits = match buffer {
            Buffer::U8(_) | Buffer::S8(_) | Buffer::U16(_) | Buffer::S16(_) => 16,
            // FLAC and ALAC put samples of any depth into the upper bits of 32.
            Buffer::U32(_) | Buffer::S32(_) if bits_per_sample.is_some_and(|bits| bits <= 16) => 16,
            Buffer::F32(_) | Buffer::F64(_) => {
                for sample in &mut interleaved {
                    let sane = if sample.is_finite() { *sample } else { 0.0 };
                    *sample = sane.clamp(-SAMPLE_MAX, SAMPLE_MAX);
                }
                24
            }
            _ => 24,
        };
        let spec = buffer.spec();
        let (channels, rate_hz) = (spec.channels().clone(), spec.rate());
        Self { interleaved, channels, rate_hz, resolution_bits }
    }
}

fn make_decoder(reader: &dyn FormatReader) -> Result<(u32, Box<dyn AudioDecoder>), Fault> {
    let no_sound = || Fault::Unsupported("there is no sound track in it".to_owned());
    let track = reader.default_track(TrackType::Audio).ok_or_else(no_sound)?;
    let params = audio_params(track).ok_or_else(no_sound)?;
    if let Some(rate_hz) = params.sample_rate {
        check_rate(rate_hz)?;
    }
    if let Some(channels) = &params.channels {
        Downmix::new(channels)?;
    }
    let mut params = params.clone();
    if params.codec == CODEC_ID_VORBIS
        && params.channels.as_ref().is_some_and(|channels| channels.count() > CHANNELS)
        && let Some(headers) = &mut params.extra_data
    {
        vorbis_setup::reverse_coupling_steps(headers);
    }
    let options = AudioDecoderOptions::default().gapless(true);
    let decoder = guard(|| symphonia::default::get_codecs().make_audio_decoder(&params, &options))?
        .map_err(|error| Fault::Unsupported(error.to_string()))?;
    Ok((track.id, decoder))
}

fn audio_params(track: &MediaTrack) -> Option<&AudioCodecParameters> {
    match &track.codec_params {
        Some(CodecParameters::Audio(params)) => Some(params),
        _ => None,
    }
}

/// The frame that begins at a time in ticks, to the nearest.
fn frames_of(ticks: u64, base: TimeBase, rate_hz: u32) -> u64 {
    let (numer, denom) = (u128::from(base.numer.get()), u128::from(base.denom.get()));
    let frames = (u128::from(ticks) * numer * u128::from(rate_hz) * 2 + denom) / (2 * denom);
    u64::try_from(frames).unwrap_or(u64::MAX)
}

/// Depth of the samples in a file, where the codec keeps them whole.
fn bits_per_sample(params: &AudioCodecParameters) -> Option<u32> {
    if params.codec == CODEC_ID_ALAC {
        // Not filled in by the demuxer. In the codec's own header it stands at the sixth byte:
        // "Apple Lossless Format Description", ALACSpecificConfig.
        return params.extra_data.as_ref()?.get(5).map(|depth| u32::from(*depth));
    }
    params.bits_per_sample
}

fn check_rate(rate_hz: u32) -> Result<(), Fault> {
    if RATES_HZ.contains(&rate_hz) { Ok(()) } else { Err(Fault::Rate(rate_hz)) }
}

/// The music in an MP4 track, when its timestamps count frames, as they nearly always do.
fn find_span(reader: &mut dyn FormatReader, track_id: u32, handle: &Arc<File>) -> Option<Span> {
    if reader.format_info().format != FORMAT_ID_ISOMP4 {
        return None;
    }
    let track = reader.tracks().iter().find(|track| track.id == track_id)?;
    if track.time_base? != TimeBase::try_from_recip(audio_params(track)?.sample_rate?)? {
        return None;
    }
    let decoded_end = track.num_frames.unwrap_or(u64::MAX);
    let stated = itunes_span(reader)
        .or_else(|| gapless::read_edit_list(&mut SharedFile::new(handle).ok()?, track_id));
    let span = stated.unwrap_or(Span::ALL);
    let end = span.end.min(decoded_end);
    // A span without music in it is damage.
    (span.start < end).then_some(Span { start: span.start, end })
}

fn itunes_span(reader: &mut dyn FormatReader) -> Option<Span> {
    let log = reader.metadata();
    let tags = &log.current()?.media.tags;
    let tag = tags.iter().find(|tag| tag.raw.key.ends_with(":iTunSMPB"))?;
    match &tag.raw.value {
        RawValue::String(text) => gapless::parse_itunsmpb(text),
        _ => None,
    }
}

/// Runs a call into symphonia and turns a panic in it into a fault.
///
/// `AssertUnwindSafe`: on a fault the caller drops the pass, so nothing half-changed is ever used again.
pub(super) fn guard<T>(call: impl FnOnce() -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Fault::Decoder)
}
