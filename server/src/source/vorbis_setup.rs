//! Makes symphonia 0.6.1 decode Vorbis of more than two channels correctly.
//!
//! Surround files couple channels in several steps that build on each other, and a decoder must undo them
//! last first (Vorbis I specification, section 4.3.5). symphonia undoes them first to last, so that each
//! channel leaks into others. Given the steps in reverse, it does the right thing: this rewrites them in
//! the setup header, in place, and touches nothing else. Only where coupled channels share residues of
//! type 2, as the reference encoder writes: with the other types the order also decides what is in a
//! packet when some channels are silent (section 4.3.3), and a leak is better than noise.
//!
//! The test with the *speakers* fixture fails without this, and will fail with it on the day symphonia is
//! corrected: then this file can go.
//!
//! Source of the layout: Vorbis I specification, section 4.2.4, with 3.2.1, 6.2.1, 7.2.2 and 8.6.1.

/// Length of the identification header, which the setup header follows in the codec's extra data.
const IDENTIFICATION_BYTES: usize = 30;

/// Where the number of channels stands in the identification header.
const CHANNELS_AT: usize = 11;

/// Reverses the coupling steps of every mapping. Headers it does not understand stay as they are.
pub(super) fn reverse_coupling_steps(extra_data: &mut [u8]) {
    let Some((identification, setup)) = extra_data.split_at_mut_checked(IDENTIFICATION_BYTES)
    else {
        return;
    };
    let channels = u32::from(identification[CHANNELS_AT]);
    if !identification.starts_with(b"\x01vorbis") || !setup.starts_with(b"\x05vorbis") {
        return;
    }
    let Some(lists) = find_coupling_lists(setup, channels) else {
        return;
    };
    for list in lists {
        let steps: Vec<_> = (0..list.steps).map(|step| list.get(setup, step)).collect();
        for (step, value) in steps.into_iter().rev().enumerate() {
            list.set(setup, step, value);
        }
    }
}

/// The coupling steps of one mapping.
struct CouplingList {
    first_bit: usize,
    steps: usize,
    bits_per_step: usize,
}

impl CouplingList {
    fn get(&self, setup: &[u8], step: usize) -> Vec<bool> {
        self.bits(step).map(|bit| setup[bit / 8] >> (bit % 8) & 1 == 1).collect()
    }

    fn set(&self, setup: &mut [u8], step: usize, value: Vec<bool>) {
        for (bit, one) in self.bits(step).zip(value) {
            let mask = 1 << (bit % 8);
            setup[bit / 8] = if one { setup[bit / 8] | mask } else { setup[bit / 8] & !mask };
        }
    }

    fn bits(&self, step: usize) -> std::ops::Range<usize> {
        let first = self.first_bit + step * self.bits_per_step;
        first..first + self.bits_per_step
    }
}

fn find_coupling_lists(setup: &[u8], channels: u32) -> Option<Vec<CouplingList>> {
    let mut bits = Bits { bytes: setup, at: 7 * 8 };
    for _ in 0..=bits.read(8)? {
        skip_codebook(&mut bits)?;
    }
    for _ in 0..=bits.read(6)? {
        bits.skip(16)?;
    }
    for _ in 0..=bits.read(6)? {
        skip_floor(&mut bits)?;
    }
    let mut residue_types = Vec::new();
    for _ in 0..=bits.read(6)? {
        residue_types.push(read_residue_type(&mut bits)?);
    }
    let mut lists = Vec::new();
    for _ in 0..=bits.read(6)? {
        lists.push(read_mapping(&mut bits, channels, &residue_types)?);
    }
    Some(lists)
}

fn skip_codebook(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(24)?;
    let (dimensions, entries) = (bits.read(16)?, bits.read(24)?);
    if bits.read(1)? == 1 {
        bits.skip(5)?;
        let mut entry = 0;
        while entry < entries {
            // Never zero bits: at least one entry is left.
            entry = entry.checked_add(bits.read(bit_width(entries - entry))?)?;
        }
    } else {
        let sparse = bits.read(1)? == 1;
        for _ in 0..entries {
            if !sparse || bits.read(1)? == 1 {
                bits.skip(5)?;
            }
        }
    }
    let values = match bits.read(4)? {
        0 => return Some(()),
        1 => lattice_values(entries, dimensions)?,
        2 => u64::from(entries) * u64::from(dimensions),
        _ => return None,
    };
    bits.skip(64)?;
    let value_bits = u64::from(bits.read(4)?) + 1;
    bits.skip(1)?;
    bits.skip(usize::try_from(values.checked_mul(value_bits)?).ok()?)
}

/// The largest whole number whose power of `dimensions` is not above `entries` (section 9.2.3).
fn lattice_values(entries: u32, dimensions: u32) -> Option<u64> {
    if dimensions == 0 {
        return None;
    }
    let fits = |root: u64| root.checked_pow(dimensions).is_some_and(|p| p <= u64::from(entries));
    let guess = f64::from(entries).powf(1.0 / f64::from(dimensions)) as u64;
    // The logarithm may be off by one in either direction.
    (guess.saturating_sub(1)..=guess + 1).rev().find(|root| fits(*root))
}

fn skip_floor(bits: &mut Bits<'_>) -> Option<()> {
    match bits.read(16)? {
        0 => {
            bits.skip(8 + 16 + 16 + 6 + 8)?;
            let books = bits.read(4)? as usize + 1;
            bits.skip(8 * books)
        }
        1 => {
            let partitions = bits.read(5)?;
            let classes: Vec<_> =
                (0..partitions).map(|_| bits.read(4)).collect::<Option<Vec<_>>>()?;
            let mut dimensions = Vec::new();
            for _ in 0..classes.iter().max().map_or(0, |highest| highest + 1) {
                dimensions.push(bits.read(3)? as usize + 1);
                let subclasses = bits.read(2)?;
                let masterbook = usize::from(subclasses > 0);
                bits.skip(8 * (masterbook + (1 << subclasses)))?;
            }
            bits.skip(2)?;
            let range_bits = bits.read(4)? as usize;
            let points: usize = classes.iter().map(|class| dimensions[*class as usize]).sum();
            bits.skip(range_bits * points)
        }
        _ => None,
    }
}

fn read_residue_type(bits: &mut Bits<'_>) -> Option<u32> {
    let residue_type = bits.read(16)?;
    bits.skip(24 + 24 + 24)?;
    let classifications = bits.read(6)? + 1;
    bits.skip(8)?;
    let mut books = 0;
    for _ in 0..classifications {
        books += bits.read(3)?.count_ones();
        if bits.read(1)? == 1 {
            books += bits.read(5)?.count_ones();
        }
    }
    bits.skip(8 * books as usize)?;
    Some(residue_type)
}

/// Reads a mapping and returns its coupling steps; none when they may not be reversed.
fn read_mapping(bits: &mut Bits<'_>, channels: u32, residue_types: &[u32]) -> Option<CouplingList> {
    bits.skip(16)?;
    let submaps = if bits.read(1)? == 1 { bits.read(4)? + 1 } else { 1 };
    let channel_bits = bit_width(channels.saturating_sub(1));
    let steps = if bits.read(1)? == 1 { bits.read(8)? as usize + 1 } else { 0 };
    let bits_per_step = 2 * channel_bits as usize;
    let mut list = CouplingList { first_bit: bits.at, steps, bits_per_step };
    let mut coupled = Vec::new();
    for _ in 0..2 * steps {
        coupled.push(bits.read(channel_bits)? as usize);
    }
    bits.skip(2)?;
    let mut submap_of = vec![0; channels as usize];
    if submaps > 1 {
        for submap in &mut submap_of {
            *submap = bits.read(4)? as usize;
        }
    }
    let mut residue_of = Vec::new();
    for _ in 0..submaps {
        bits.skip(16)?;
        residue_of.push(bits.read(8)? as usize);
    }
    for channel in coupled {
        if *residue_types.get(*residue_of.get(*submap_of.get(channel)?)?)? != 2 {
            list.steps = 0;
        }
    }
    Some(list)
}

/// `ilog` of the specification, section 9.2.1: the position of the highest bit, from 1; 0 for 0.
fn bit_width(value: u32) -> u32 {
    u32::BITS - value.leading_zeros()
}

/// Reads bits, the lowest of each byte first (section 2.1).
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Reads up to 24 bits.
    fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for shift in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << shift;
            self.at += 1;
        }
        Some(value)
    }

    /// Passes over bits that must be there.
    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|at| *at <= self.bytes.len() * 8)?;
        Some(())
    }
}
