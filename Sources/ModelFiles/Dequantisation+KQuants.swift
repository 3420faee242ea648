// SPDX-License-Identifier: Apache-2.0

// The format's own names carry underscores.
// swift-format-ignore: AlwaysUseLowerCamelCase
/// The K-quants: blocks of 256 values with scales for 16 or 32 values each, themselves quantised.
extension Dequantisation {
    private static let blockLength = 256

    /// Block: 16 bytes of 4-bit scales (low) and minima (high), 64 bytes of 2-bit codes, half d, half m;
    /// each 16 values are (d · scale) · code − m · minimum.
    static func q2_K(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = bytes(input + block * 84), target = output + block * blockLength
            let scale = half(input + block * 84, 80), minimum = half(input + block * 84, 82)
            for index in 0..<blockLength {
                let factors = source[index / 16]
                let code = source[16 + index / 128 * 32 + index % 32] >> UInt8(index % 128 / 32 * 2) & 3
                target[index] = scale * Float(factors & 15) * Float(code) - minimum * Float(factors >> 4)
            }
        }
    }

    /// Block: 32 bytes of high bits (clear: subtract 4), 64 bytes of 2-bit codes, 12 bytes of 6-bit scales, half d;
    /// each 16 values are (d · (scale − 32)) · code.
    static func q3_K(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = bytes(input + block * 110), target = output + block * blockLength
            let scale = half(input + block * 110, 108), packed = source + 96
            for group in 0..<16 {
                let low = packed[group % 8] >> UInt8(group / 8 * 4) & 15
                let high = packed[8 + group % 4] >> UInt8(group / 4 * 2) & 3
                let factor = scale * Float(Int32(low | high << 4) - 32)
                for index in group * 16..<group * 16 + 16 {
                    let code = source[32 + index / 128 * 32 + index % 32] >> UInt8(index % 128 / 32 * 2) & 3
                    let offset = source[index % 32] >> UInt8(index / 32) & 1 == 0 ? Int32(4) : 0
                    target[index] = factor * Float(Int32(code) - offset)
                }
            }
        }
    }

    /// Block: half d, half m, 12 bytes of 6-bit scales and minima, 128 bytes of nibbles;
    /// each 32 values are (d · scale) · code − m · minimum.
    static func q4_K(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = bytes(input + block * 144), target = output + block * blockLength
            let scale = half(input + block * 144, 0), minimum = half(input + block * 144, 2)
            for group in 0..<8 {
                let factors = scaleAndMinimum(source + 4, group)
                let step = scale * Float(factors.scale), base = minimum * Float(factors.minimum)
                let nibbles = source + 16 + group / 2 * 32
                for index in 0..<32 {
                    let code = nibbles[index] >> UInt8(group % 2 * 4) & 15
                    target[group * 32 + index] = step * Float(code) - base
                }
            }
        }
    }

    /// Block: as Q4_K, with 32 bytes of fifth bits before the nibbles, bit g of byte i for value i of group g.
    static func q5_K(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = bytes(input + block * 176), target = output + block * blockLength
            let scale = half(input + block * 176, 0), minimum = half(input + block * 176, 2)
            for group in 0..<8 {
                let factors = scaleAndMinimum(source + 4, group)
                let step = scale * Float(factors.scale), base = minimum * Float(factors.minimum)
                let nibbles = source + 48 + group / 2 * 32
                for index in 0..<32 {
                    let low = nibbles[index] >> UInt8(group % 2 * 4) & 15
                    let high = source[16 + index] >> UInt8(group) & 1
                    target[group * 32 + index] = step * Float(low | high << 4) - base
                }
            }
        }
    }

    /// Block: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, half d;
    /// each 16 values are (d · scale) · (code − 32).
    static func q6_K(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>) {
        for block in 0..<blocks {
            let source = bytes(input + block * 210), target = output + block * blockLength
            let scale = half(input + block * 210, 208)
            for index in 0..<blockLength {
                let low = source[index / 128 * 64 + index % 64] >> UInt8(index % 128 / 64 * 4) & 15
                let high = source[128 + index / 128 * 32 + index % 32] >> UInt8(index % 128 / 32 * 2) & 3
                let factor = scale * Float(Int8(bitPattern: source[192 + index / 16]))
                target[index] = factor * Float(Int32(low | high << 4) - 32)
            }
        }
    }

    /// The 6-bit scale and minimum of one of 8 groups: four whole ones each, whose spare bits carry the top of the rest.
    @inline(__always)
    private static func scaleAndMinimum(_ packed: UnsafePointer<UInt8>, _ group: Int) -> (scale: UInt8, minimum: UInt8)
    {
        guard group >= 4 else { return (packed[group] & 63, packed[group + 4] & 63) }
        let low = packed[group + 4]
        return (low & 15 | (packed[group - 4] >> 6) << 4, low >> 4 | (packed[group] >> 6) << 4)
    }

    @inline(__always)
    private static func bytes(_ input: UnsafeRawPointer) -> UnsafePointer<UInt8> {
        input.assumingMemoryBound(to: UInt8.self)
    }
}
