// SPDX-License-Identifier: Apache-2.0

// The format's own names carry underscores.
// swift-format-ignore: AlwaysUseLowerCamelCase
/// Turns floats into blocks of GGML's storage types.
public enum Quantisation {
    /// Writes Q8_0 blocks, bit for bit as the `gguf` Python package does: for each 32 values a half scale
    /// d = largest magnitude / 127, then each value / d rounded to the nearest integer, halves away from zero.
    ///
    /// A value is off by at most d / 2 and the rounding of d to a half. Magnitudes beyond 127 · 65504 give an infinite d.
    ///
    /// - Parameters:
    ///   - values: Finite numbers, a multiple of 32.
    ///   - output: Room for 34 bytes for each 32 values.
    public static func q8_0(_ values: UnsafeBufferPointer<Float>, into output: UnsafeMutableRawBufferPointer) {
        let blocks = values.count / 32
        precondition(values.count % 32 == 0 && output.count == blocks * 34, "the room does not fit the values")
        guard let source = values.baseAddress, let target = output.baseAddress else { return }
        for block in 0..<blocks { q8_0Block(source + block * 32, into: target + block * 34) }
    }

    private static func q8_0Block(_ values: UnsafePointer<Float>, into output: UnsafeMutableRawPointer) {
        var largest: Float = 0
        for index in 0..<32 { largest = max(largest, abs(values[index])) }
        let scale = largest / 127
        let inverse = scale == 0 ? 0 : 1 / scale
        output.storeBytes(of: Float16(scale).bitPattern.littleEndian, as: UInt16.self)
        let codes = (output + 2).assumingMemoryBound(to: Int8.self)
        for index in 0..<32 {
            // A subnormal scale's inverse may be infinite; cutting keeps the conversion defined.
            let code = (values[index] * inverse).rounded()
            codes[index] = Int8(max(-127, min(127, code.isNaN ? 0 : code)))
        }
    }
}
