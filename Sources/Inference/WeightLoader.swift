// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// Turns a file's tensors into weights, after checking that they are the ones the configuration asks for. Memory is taken
/// only once a tensor's shape, and with it the bytes the file really holds, has been checked.
struct WeightLoader {
    let model: ModelFile
    let configuration: ModelConfiguration
    let form: WeightForm
    private let names: TensorNames
    private let tensors: [String: GGUFTensor]
    /// Room for the largest tensor's fp32 values, used for one after another.
    private let room: ReservedMemory

    /// A tensor, by its name in GGUF, that forms a range of a layer's outputs.
    struct Part {
        let name: String
        let outputs: Int
        /// Elements of a head whose rows are stored in rotary pairs, to be put in halves; nil: rows stay where they are.
        var rotaryHead: Int?

        /// Which row of the tensor becomes the layer's row.
        func source(_ row: Int) -> Int { rotaryHead.map { WeightLoader.pairedRow(row, head: $0) } ?? row }
    }

    init(_ model: ModelFile, configuration: ModelConfiguration, form: WeightForm) throws {
        self.model = model
        self.configuration = configuration
        self.form = form
        names = TensorNames(model)
        tensors = Dictionary(uniqueKeysWithValues: model.tensors.map { ($0.name, $0) })
        let largest = model.tensors.map(\.elementCount).max() ?? 0
        let (bytes, overflow) = largest.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
        guard !overflow else { throw InferenceError.kernel(.outOfMemory(bytes: Int.max, code: 12)) }
        room = try ReservedMemory(count: bytes)
        try checkNames()
    }

    /// A norm's weight or a bias.
    func vector(_ name: String, count: Int) throws -> [Float] {
        Array(try values(of: try tensor(name, shape: [count])))
    }

    /// The divisors of the rotary frequencies, empty where the file has none.
    func rotaryFactors() throws -> [Float] {
        let name = "rope_freqs.weight"
        guard tensors[name] != nil else { return [] }
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
            return try withExtendedLifetime(model) {
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

    /// Elements of a head whose rows of queries and keys the file keeps in rotary pairs; nil: it keeps them in halves.
    var rotaryPairs: Int? {
        names == .gguf && configuration.architecture.storesRotaryPairs ? configuration.headDimension : nil
    }

    private func tensor(_ name: String) throws -> GGUFTensor {
        let name = names.original(name)
        guard let tensor = tensors[name] else {
            throw GGUFError(path: model.path, reason: .missingTensor(name))
        }
        return tensor
    }

    private func tensor(_ name: String, shape: [Int]) throws -> GGUFTensor {
        let tensor = try tensor(name)
        guard tensor.shape == shape else {
            throw InferenceError.wrongShape(tensor: tensor.name, expected: shape, found: tensor.shape)
        }
        return tensor
    }

    private func values(of tensor: GGUFTensor) throws -> UnsafeBufferPointer<Float> {
        let values = UnsafeMutableBufferPointer(start: room.floats(), count: tensor.elementCount)
        try tensor.dequantize(into: values)
        guard UnsafeBufferPointer(values).allFinite else { throw InferenceError.nonFiniteWeight(tensor: tensor.name) }
        return UnsafeBufferPointer(values)
    }

    /// GGUF's names of the tensors that the configuration asks for.
    var neededNames: [String] {
        let parts = configuration.architecture.extraTensors.union([
            "attn_norm.weight", "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight",
            "ffn_norm.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight",
        ])
        let globals =
            ["token_embd.weight", "output_norm.weight"] + (configuration.tiesEmbedding ? [] : ["output.weight"])
        return globals + (0..<configuration.layers).flatMap { layer in parts.sorted().map { "blk.\(layer).\($0)" } }
    }

    /// Throws where there is no tensor that GGUF calls `name`, or it is of a type that cannot be read.
    func checkReadable(_ name: String) throws {
        let tensor = try tensor(name)
        guard GGMLType.readable.contains(tensor.type) else {
            throw GGUFError(path: model.path, reason: .unsupportedType(tensor: tensor.name, type: tensor.type))
        }
    }

    /// A tensor that the forward pass would ignore (a bias, an expert, a second norm) would make its results wrong.
    private func checkNames() throws {
        // A tied head may be stored twice.
        let known = Set((neededNames + ["rope_freqs.weight", "output.weight"]).map(names.original))
        for tensor in model.tensors where !known.contains(tensor.name) && !names.isRedundant(tensor.name) {
            throw InferenceError.unsupportedFeature("the tensor \(tensor.name)")
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
