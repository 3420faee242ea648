// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import ModelFiles

@Suite struct DequantisationTests {
    @Test(arguments: [
        "f32", "f16", "q4_0", "q4_1", "q8_0", "q4_0_random", "q4_1_random", "q8_0_random", "bf16", "q5_0", "q5_1",
        "q5_0_random", "q5_1_random", "q2_k_random", "q3_k_random", "q4_k_random", "q5_k_random", "q6_k_random",
    ])
    func agreesWithTheReferenceToTheBit(_ name: String) throws {
        let file = try GGUFFile(path: golden.appendingPathComponent("\(name).gguf").path)
        let values = try file.tensor(named: "t").dequantized()
        let bytes = values.withUnsafeBytes { Array($0) }
        #expect(bytes == (try goldenBytes("\(name).f32")))
        #expect(file.tensors[0].type.name.lowercased() == name.replacing("_random", with: ""))
    }

    @Test func everyHalfIsConverted() throws {
        var builder = GGUFBuilder(tensors: 1)
        builder.tensor("t", shape: [65536], type: GGMLType.f16.rawValue)
        builder.data((0...UInt16.max).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] })
        let values = try open(builder.bytes).tensors[0].dequantized()
        let wrong = (0...UInt16.max).filter { bits in
            let half = Float16(bitPattern: bits)
            let value = values[Int(bits)]
            // Payloads of NaNs must survive; the language's own conversion may set their quiet bit.
            let payload = UInt32(bits & 0x8000) << 16 | 0x7f80_0000 | UInt32(bits & 0x3ff) << 13
            return value.bitPattern != (half.isNaN ? payload : Float(half).bitPattern)
        }
        #expect(wrong.isEmpty)
    }

    @Test func otherTypesAreReportedByName() throws {
        var builder = GGUFBuilder(tensors: 1)
        builder.tensor("third", shape: [32], type: GGMLType.iq4_NL.rawValue)
        builder.data(Array(repeating: 0, count: 18))
        let tensor = try open(builder.bytes).tensors[0]
        let error = #expect(throws: GGUFError.self) { try tensor.dequantized() }
        #expect(error?.reason == .unsupportedType(tensor: "third", type: .iq4_NL))
        #expect(error?.description.contains("IQ4_NL") == true)
        #expect(throws: GGUFError.self) {
            var room = [Float](repeating: 0, count: tensor.elementCount)
            try room.withUnsafeMutableBufferPointer { try tensor.dequantize(into: $0) }
        }
    }

    @Test func destinationsOfAnotherSizeAreRefused() throws {
        let tensor = try GGUFFile(path: golden.appendingPathComponent("q8_0.gguf").path).tensors[0]
        for count in [0, tensor.elementCount - 1, tensor.elementCount + 1] {
            var room = [Float](repeating: 0, count: count)
            let error = #expect(throws: GGUFError.self) {
                try room.withUnsafeMutableBufferPointer { try tensor.dequantize(into: $0) }
            }
            #expect(error?.reason == .wrongDestination(tensor: "t", needed: tensor.elementCount, given: count))
        }
    }

    @Test func tensorsKeepTheFileMapped() throws {
        let tensor = try {
            try GGUFFile(path: golden.appendingPathComponent("f32.gguf").path).tensors[0]
        }()
        #expect(try tensor.dequantized().withUnsafeBytes { Array($0) } == goldenBytes("f32.f32"))
    }
}
