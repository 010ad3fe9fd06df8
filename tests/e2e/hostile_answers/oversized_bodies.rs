//! Answers that are small on the way and large when they are taken at their word.

/// A JSON text of lists in lists.
pub fn nested_lists() -> Vec<u8> {
    [b"[".repeat(100_000), b"]".repeat(100_000)].concat()
}

/// A list of a million entries.
pub fn many_entries() -> Vec<u8> {
    let mut body = b"{\"data\":[".to_vec();
    body.extend(b"{},".repeat(1_000_000));
    body.extend(b"{}]}");
    body
}

/// Bits as deflate packs them: the first one into the lowest place.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    /// A number, its lowest bit first.
    fn number(&mut self, value: u32, bits: u32) {
        for bit in 0..bits {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().unwrap();
            *last |= u8::try_from((value >> bit) & 1).unwrap() << (self.used % 8);
            self.used += 1;
        }
    }

    /// A code of Huffman, its highest bit first.
    fn code(&mut self, code: &str) {
        for bit in code.bytes() {
            self.number(u32::from(bit == b'1'), 1);
        }
    }

    /// `run` code lengths of zero, at least 11.
    fn zeros(&mut self, run: u32) {
        self.code("0");
        self.number(run - 11, 7);
    }
}

/// 200 MB of blanks as gzip, in less than 200 kB.
///
/// One block with a code of its own, in which the longest repetition of the byte before costs two bits.
pub fn gzip_bomb() -> Vec<u8> {
    const REPETITIONS: usize = 200_000_000 / 258;
    let mut bits = Bits { bytes: b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec(), used: 80 };
    // The last block, with dynamic codes: 286 literals and lengths, 1 distance, and the lengths of 18 lengths.
    bits.number(1, 1);
    bits.number(2, 2);
    bits.number(29, 5);
    bits.number(0, 5);
    bits.number(14, 4);
    // In the order of the format: of 18 (a run of zeros) 1 bit, of the lengths 1 and 2 two bits each.
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1] {
        bits.number(
            match symbol {
                18 => 1,
                1 | 2 => 2,
                _ => 0,
            },
            3,
        );
    }
    let (one, two) = ("10", "11");
    bits.zeros(32);
    // A blank.
    bits.code(two);
    bits.zeros(138);
    bits.zeros(85);
    // The end of the block.
    bits.code(two);
    bits.zeros(28);
    // A repetition of 258 bytes, at the only distance.
    bits.code(one);
    bits.code(one);
    bits.code("10");
    for _ in 0..REPETITIONS {
        bits.code("0");
        bits.code("0");
    }
    bits.code("11");
    // The checksum comes too late to protect a reader that inflates the body.
    bits.bytes.extend([0; 4]);
    bits.bytes.extend(u32::try_from(REPETITIONS * 258 + 1).unwrap().to_le_bytes());
    bits.bytes
}
