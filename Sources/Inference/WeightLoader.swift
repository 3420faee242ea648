// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// Turns a file's tensors into weights, after checking that they are the ones the configuration asks for. Memory is taken
/// only once a tensor's shape, and with it the bytes the file really holds, has been checked.
struct WeightLoader {
    let file: GGUFFile
    let configuration: ModelConfiguration
    let form: WeightForm
    /// Room for the largest tensor's fp32 values, used for one after another.
    private let room: ReservedMemory

    /// A tensor that forms a range of a layer's outputs.
    struct Part {
        let name: String
        let outputs: Int
        /// Elements of a head whose rows are stored in rotary pairs, to be put in halves; nil: rows stay where they are.
        var rotaryHead: Int?

        /// Which row of the tensor becomes the layer's row.
        func source(_ row: Int) -> Int { rotaryHead.map { WeightLoader.pairedRow(row, head: $0) } ?? row }
    }

    init(file: GGUFFile, configuration: ModelConfiguration, form: WeightForm) throws {
        self.file = file
        self.configuration = configuration
        self.form = form
        try Self.checkNames(file, configuration)
        let largest = file.tensors.map(\.elementCount).max() ?? 0
        let (bytes, overflow) = largest.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
        guard !overflow else { throw InferenceError.kernel(.outOfMemory(bytes: Int.max, code: 12)) }
        room = try ReservedMemory(count: bytes)
    }

    /// A norm's weight or a bias.
    func vector(_ name: String, count: Int) throws -> [Float] {
        Array(try values(of: try tensor(name, shape: [count])))
    }

    /// The divisors of the rotary frequencies, empty where the file has none.
    func rotaryFactors() throws -> [Float] {
        let name = "rope_freqs.weight"
        guard file.tensors.contains(where: { $0.name == name }) else { return [] }
        let factors = try vector(name, count: configuration.headDimension / 2)
        guard factors.allSatisfy({ $0 > 0 }) else {
            throw InferenceError.invalidConfiguration(key: name, reason: "a factor is not positive")
        }
        return factors
    }

    /// A layer from the hidden state.
    func linear(_ name: String, outputs: Int) throws -> LinearWeight {
        try linear(parts: [Part(name: name, outputs: outputs)], inputs: configuration.hidden)
    }

    /// A layer whose outputs are those of several tensors, one after another.
    func linear(parts: [Part], inputs: Int) throws -> LinearWeight {
        let tensors = try parts.map { try tensor($0.name, shape: [inputs, $0.outputs]) }
        if form == .native, inputs % QuantizedType.blockLength == 0 {
            guard let type = Self.commonType(of: tensors) else {
                return .quantized(try requantized(parts, tensors, inputs: inputs))
            }
            return .quantized(try quantized(parts, tensors, type: type, inputs: inputs))
        }
        let matrix = try PackedMatrix(inputs: inputs, outputs: parts.reduce(0) { $0 + $1.outputs })
        var first = 0
        for (part, tensor) in zip(parts, tensors) {
            let values = try values(of: tensor)
            for row in 0..<part.outputs {
                let source = part.source(row)
                matrix.setRow(
                    first + row, UnsafeBufferPointer(rebasing: values[source * inputs..<(source + 1) * inputs]))
            }
            first += part.outputs
        }
        return .float32(matrix)
    }

    /// The type that all tensors have, if products can be computed on its blocks.
    private static func commonType(of tensors: [GGUFTensor]) -> QuantizedType? {
        guard let first = tensors.first, tensors.allSatisfy({ $0.type == first.type }) else { return nil }
        return QuantizedType(rawValue: first.type.rawValue)
    }

    /// The tensors' own blocks, one tensor after another.
    private func quantized(
        _ parts: [Part], _ tensors: [GGUFTensor], type: QuantizedType, inputs: Int
    ) throws -> QuantizedMatrix {
        let rowBytes = inputs / QuantizedType.blockLength * type.blockBytes
        let rows = zip(parts, tensors).flatMap { part, tensor in
            (0..<part.outputs).map { row in
                let source = part.source(row)
                return UnsafeRawBufferPointer(rebasing: tensor.bytes[source * rowBytes..<(source + 1) * rowBytes])
            }
        }
        do {
            return try withExtendedLifetime(file) {
                try QuantizedMatrix(type: type, rows: rows.count, columns: inputs) { rows[$0] }
            }
        } catch QuantizedError.nonFiniteScale {
            throw InferenceError.nonFiniteWeight(tensor: parts.map(\.name).joined(separator: ", "))
        }
    }

    /// Where GGUF keeps the row that is `row` when a head's halves pair up: pairs (i, i + d / 2) lie at (2i, 2i + 1).
    static func pairedRow(_ row: Int, head: Int) -> Int {
        let place = row % head, half = head / 2
        return row - place + 2 * (place % half) + place / half
    }

    private func tensor(_ name: String, shape: [Int]) throws -> GGUFTensor {
        let tensor = try file.tensor(named: name)
        guard tensor.shape == shape else {
            throw InferenceError.wrongShape(tensor: name, expected: shape, found: tensor.shape)
        }
        return tensor
    }

    private func values(of tensor: GGUFTensor) throws -> UnsafeBufferPointer<Float> {
        let values = UnsafeMutableBufferPointer(start: room.floats(), count: tensor.elementCount)
        try tensor.dequantize(into: values)
        guard UnsafeBufferPointer(values).allFinite else { throw InferenceError.nonFiniteWeight(tensor: tensor.name) }
        return UnsafeBufferPointer(values)
    }

    /// A tensor that the forward pass would ignore (a bias, an expert, a second norm) would make its results wrong.
    private static func checkNames(_ file: GGUFFile, _ configuration: ModelConfiguration) throws {
        let parts = configuration.architecture.extraTensors.union([
            "attn_norm.weight", "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight",
            "ffn_norm.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight",
        ])
        let globals: Set<String> = ["token_embd.weight", "output_norm.weight", "output.weight", "rope_freqs.weight"]
        for tensor in file.tensors where !globals.contains(tensor.name) {
            let fields = tensor.name.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
            let known = fields.count == 3 && fields[0] == "blk" && parts.contains(String(fields[2]))
            guard known, let layer = Int(fields[1]), (0..<configuration.layers).contains(layer) else {
                throw InferenceError.unsupportedFeature("the tensor \(tensor.name)")
            }
        }
    }
}

extension UnsafeBufferPointer<Float> {
    /// Whether no element is infinite or not a number.
    var allFinite: Bool {
        // On the bits, so that the loop becomes vector code.
        var largest: UInt32 = 0
        for value in self { largest = Swift.max(largest, value.bitPattern & 0x7fff_ffff) }
        return largest < 0x7f80_0000
    }
}
