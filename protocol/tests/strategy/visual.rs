//! Arbitrary parts of messages for the roles that show something.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use protocol::message::{
    ArtworkChannel, ArtworkRequest, ArtworkSource, ArtworkStream, ArtworkStreamChannel,
    ArtworkSupport, ColorState, ImageFormat, Rgb, Scale, SpectrumShape, VisualizerRequest,
    VisualizerStream, VisualizerSupport, VisualizerType,
};

use super::{field, server_time};

fn source() -> impl Strategy<Value = ArtworkSource> {
    select(vec![ArtworkSource::Album, ArtworkSource::Artist, ArtworkSource::None])
}

fn image_format() -> impl Strategy<Value = ImageFormat> {
    select(vec![ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp])
}

pub(super) fn artwork_support() -> impl Strategy<Value = ArtworkSupport> {
    let channel = (source(), image_format(), any::<[u32; 2]>()).prop_map(
        |(source, format, [media_width, media_height])| ArtworkChannel {
            source,
            format,
            media_width,
            media_height,
        },
    );
    vec(channel, 0..5).prop_map(|channels| ArtworkSupport { channels })
}

pub(super) fn artwork_stream() -> impl Strategy<Value = ArtworkStream> {
    let size = || option::of(any::<u32>());
    let channel = (source(), option::of(image_format()), size(), size()).prop_map(
        |(source, format, width, height)| ArtworkStreamChannel { source, format, width, height },
    );
    vec(channel, 0..5).prop_map(|channels| ArtworkStream { channels })
}

pub(super) fn artwork_request() -> impl Strategy<Value = ArtworkRequest> {
    let size = || option::of(any::<u32>());
    (any::<u8>(), option::of(source()), option::of(image_format()), size(), size()).prop_map(
        |(channel, source, format, media_width, media_height)| ArtworkRequest {
            channel,
            source,
            format,
            media_width,
            media_height,
        },
    )
}

pub(super) fn color_state() -> impl Strategy<Value = ColorState> {
    let color = || field(any::<Rgb>());
    (server_time(), [(); 6].map(|()| color())).prop_map(
        |(timestamp, [background_dark, background_light, primary, accent, on_dark, on_light])| {
            ColorState {
                timestamp,
                background_dark,
                background_light,
                primary,
                accent,
                on_dark,
                on_light,
            }
        },
    )
}

fn types() -> impl Strategy<Value = Vec<VisualizerType>> {
    let types = vec![
        VisualizerType::Loudness,
        VisualizerType::Beat,
        VisualizerType::FPeak,
        VisualizerType::Spectrum,
        VisualizerType::Peak,
    ];
    vec(select(types), 0..6)
}

fn spectrum() -> impl Strategy<Value = SpectrumShape> {
    let scale = select(vec![Scale::Mel, Scale::Log, Scale::Lin]);
    (scale, any::<[u32; 3]>()).prop_map(|(scale, [n_disp_bins, f_min, f_max])| SpectrumShape {
        n_disp_bins,
        scale,
        f_min,
        f_max,
    })
}

pub(super) fn visualizer_support() -> impl Strategy<Value = VisualizerSupport> {
    (types(), any::<u64>(), any::<u32>(), option::of(spectrum())).prop_map(
        |(types, buffer_capacity, rate_max, spectrum)| VisualizerSupport {
            types,
            buffer_capacity,
            rate_max,
            spectrum,
        },
    )
}

pub(super) fn visualizer_stream() -> impl Strategy<Value = VisualizerStream> {
    (types(), any::<u32>(), option::of(any::<bool>()), option::of(spectrum())).prop_map(
        |(types, rate_max, tracks_downbeats, spectrum)| VisualizerStream {
            types,
            rate_max,
            tracks_downbeats,
            spectrum,
        },
    )
}

pub(super) fn visualizer_request() -> impl Strategy<Value = VisualizerRequest> {
    (option::of(types()), option::of(any::<u32>()), option::of(spectrum()))
        .prop_map(|(types, rate_max, spectrum)| VisualizerRequest { types, rate_max, spectrum })
}
