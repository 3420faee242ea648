// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// The tensors of a checkpoint by what they are: which map, of which layer, which part.
struct PaperTensorNames {
    enum Direction: String {
        case down = "compress_down"
        case up = "compress_up"
    }

    private struct Place: Hashable {
        let direction: Direction
        /// Nil for all layers.
        let layer: Int?
    }

    private let path: String
    private var parts: [Place: [String: GGUFTensor]] = [:]

    /// Sorts tensors by their names; those of other modules are passed over.
    ///
    /// - Throws: ``CompressionError/file(path:reason:)`` for names that are not understood.
    init(_ tensors: [GGUFTensor], path: String) throws(CompressionError) {
        self.path = path
        for tensor in tensors {
            let words = tensor.name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
            if words.contains(where: { $0.hasPrefix("k_compress") || $0.hasPrefix("v_compress") }) {
                throw .file(
                    path: path, reason: "compresses keys and values apart (\(tensor.name)), which is not supported")
            }
            guard let at = words.firstIndex(where: { Direction(rawValue: $0) != nil }),
                let direction = Direction(rawValue: words[at])
            else { continue }
            var layer: Int?
            if let marker = words[..<at].firstIndex(of: "layers") {
                guard marker + 1 < at, let number = Int(words[marker + 1]), (0..<1024).contains(number) else {
                    throw .file(path: path, reason: "has a tensor \(tensor.name), whose layer is no number below 1024")
                }
                layer = number
            }
            let part = words[(at + 1)...].joined(separator: ".")
            guard
                parts[Place(direction: direction, layer: layer), default: [:]].updateValue(tensor, forKey: part) == nil
            else { throw .file(path: path, reason: "has two tensors for \(part) of \(direction.rawValue)") }
        }
    }

    /// The map of a layer, or the one of all layers; nil where there is neither.
    ///
    /// - Throws: ``CompressionError/file(path:reason:)`` for parts or shapes that make no map.
    func map(_ direction: Direction, layer: Int) throws -> PaperMap? {
        guard
            let found = parts[Place(direction: direction, layer: layer)]
                ?? parts[Place(direction: direction, layer: nil)]
        else { return nil }
        let what = "\(direction.rawValue) of layer \(layer)"
        for (form, names) in Self.parts where found[Self.trimmed(names[0] + ".weight")] != nil {
            let known = Set(names.flatMap { [$0 + ".weight", $0 + ".bias"] }.map(Self.trimmed))
            if let odd = found.keys.first(where: { !known.contains($0) }) {
                throw CompressionError.file(
                    path: path, reason: "has a part \(odd) in \(what) that no \(form.rawValue) has")
            }
            let weights = try names.map { try weight(found, $0, what) }
            guard let map = try PaperMap(form, weights) else {
                throw CompressionError.file(
                    path: path, reason: "has weights in \(what) whose shapes do not fit together")
            }
            return map
        }
        throw CompressionError.file(
            path: path,
            reason: "has parts in \(what) that make no known map: \(found.keys.sorted().joined(separator: ", "))")
    }

    /// Names of the weights of each form; a linear map's stands alone.
    private static let parts: [(PaperMap.Form, [String])] = [
        (.linear, [""]), (.gelu, ["0", "2"]), (.swiglu, ["w12", "w3"]),
    ]

    private static func trimmed(_ name: String) -> String { name.hasPrefix(".") ? String(name.dropFirst()) : name }

    private func weight(_ found: [String: GGUFTensor], _ name: String, _ what: String) throws -> PaperMap.Weight {
        func error(_ reason: String) -> CompressionError { .file(path: path, reason: "\(reason) in \(what)") }
        guard let tensor = found[Self.trimmed(name + ".weight")] else { throw error("lacks the weight \(name)") }
        guard tensor.shape.count == 2, tensor.shape.allSatisfy({ $0 <= 1 << 17 }) else {
            throw error("has a weight of shape \(tensor.shape), not of two dimensions up to 131072,")
        }
        let bias = found[Self.trimmed(name + ".bias")]
        guard bias == nil || bias?.shape == [tensor.shape[1]] else { throw error("has a bias of the wrong length") }
        let values = try tensor.dequantized(), biases = try bias?.dequantized() ?? []
        guard values.allSatisfy(\.isFinite), biases.allSatisfy(\.isFinite) else {
            throw error("has weights that are infinite or no numbers")
        }
        return PaperMap.Weight(outputs: tensor.shape[1], inputs: tensor.shape[0], values: values, bias: biases)
    }
}
