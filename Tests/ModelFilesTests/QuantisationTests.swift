// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import ModelFiles

@Suite struct QuantisationTests {
    private func blocks(_ values: [Float]) -> [UInt8] {
        var output = [UInt8](repeating: 0xaa, count: values.count / 32 * 34)
        values.withUnsafeBufferPointer { values in output.withUnsafeMutableBytes { Quantisation.q8_0(values, into: $0) }
        }
        return output
    }

    /// `q8_0.gguf` was quantised by the reference from the values of `normal.f32`.
    @Test func agreesWithTheReferenceToTheBit() throws {
        let bytes = try goldenBytes("normal.f32")
        let values = bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
        let expected = try GGUFFile(path: golden.appendingPathComponent("q8_0.gguf").path).tensors[0]
        #expect(blocks(values) == Array(expected.bytes))
    }

    @Test func extremesAreDefined() {
        #expect(blocks(Array(repeating: 0, count: 32)) == Array(repeating: 0, count: 34))
        for value: Float in [.leastNonzeroMagnitude, 0x1p-140, .leastNormalMagnitude, .greatestFiniteMagnitude] {
            let block = blocks([value, -value] + Array(repeating: 0, count: 30))
            #expect(block[4...].allSatisfy { $0 == 0 })
        }
        // Halves go away from zero.
        let block = blocks([127, 0.5, -0.5, 1.5, -2.5] + Array(repeating: 0, count: 27))
        #expect(block[2..<7].map { Int8(bitPattern: $0) } == [127, 1, -1, 2, -3])
    }
}
