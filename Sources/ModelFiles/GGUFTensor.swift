// SPDX-License-Identifier: Apache-2.0

/// One tensor of a GGUF file: its description and its bytes, which stay in the mapped file.
public struct GGUFTensor: Sendable {
    /// The tensor's name, such as `blk.0.attn_q.weight`.
    public let name: String
    /// The sizes in GGML's order: `shape[0]` is the length of a contiguous row. All are at least 1.
    public let shape: [Int]
    /// How the values are stored.
    public let type: GGMLType
    /// The number of values, the product of ``shape``.
    public let elementCount: Int

    private let file: MappedFile
    private let range: Range<Int>

    /// Takes a description whose `range` was checked to lie in the file.
    init(name: String, shape: [Int], type: GGMLType, elementCount: Int, file: MappedFile, range: Range<Int>) {
        self.name = name
        self.shape = shape
        self.type = type
        self.elementCount = elementCount
        self.file = file
        self.range = range
    }

    /// The stored bytes. Valid while this tensor or its file lives.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: file.bytes[range]) }

    /// Turns the stored values into floats, in stored order, bit for bit as the `gguf` Python package does.
    ///
    /// - Parameter destination: room for exactly ``elementCount`` values; it need not be initialised.
    /// - Throws: ``GGUFError`` where the type cannot be read yet or the destination has another size.
    public func dequantize(into destination: UnsafeMutableBufferPointer<Float>) throws(GGUFError) {
        guard destination.count == elementCount, let output = destination.baseAddress, let input = bytes.baseAddress
        else {
            throw error(.wrongDestination(tensor: name, needed: elementCount, given: destination.count))
        }
        try decode(input, blocks: elementCount / type.blockLength, into: output)
    }

    /// Turns one contiguous row, `shape[0]` values, into floats, as ``dequantize(into:)`` does.
    ///
    /// - Parameters:
    ///   - row: Counted through all dimensions but the first.
    ///   - destination: Room for exactly `shape[0]` values.
    /// - Throws: ``GGUFError`` where the type cannot be read yet or the destination has another size.
    public func dequantizeRow(_ row: Int, into destination: UnsafeMutableBufferPointer<Float>) throws(GGUFError) {
        let length = shape.first ?? 1
        precondition(row >= 0 && row < elementCount / length, "row out of range")
        guard destination.count == length, let output = destination.baseAddress, let input = bytes.baseAddress else {
            throw error(.wrongDestination(tensor: name, needed: length, given: destination.count))
        }
        let blocks = length / type.blockLength
        try decode(input + row * blocks * type.blockBytes, blocks: blocks, into: output)
    }

    private func decode(_ input: UnsafeRawPointer, blocks: Int, into output: UnsafeMutablePointer<Float>)
        throws(GGUFError)
    {
        switch type {
        case .f32: Dequantisation.f32(input, count: blocks, into: output)
        case .f16: Dequantisation.f16(input, count: blocks, into: output)
        case .q8_0: Dequantisation.q8_0(input, blocks: blocks, into: output)
        case .q4_0: Dequantisation.q4_0(input, blocks: blocks, into: output)
        case .q4_1: Dequantisation.q4_1(input, blocks: blocks, into: output)
        case .bf16: Dequantisation.bf16(input, count: blocks, into: output)
        case .q5_0: Dequantisation.q5_0(input, blocks: blocks, into: output)
        case .q5_1: Dequantisation.q5_1(input, blocks: blocks, into: output)
        case .q2_K: Dequantisation.q2_K(input, blocks: blocks, into: output)
        case .q3_K: Dequantisation.q3_K(input, blocks: blocks, into: output)
        case .q4_K: Dequantisation.q4_K(input, blocks: blocks, into: output)
        case .q5_K: Dequantisation.q5_K(input, blocks: blocks, into: output)
        case .q6_K: Dequantisation.q6_K(input, blocks: blocks, into: output)
        default: throw error(.unsupportedType(tensor: name, type: type))
        }
        // The pointers above do not keep the mapping alive by themselves.
        withExtendedLifetime(file) {}
    }

    /// The values as floats, in stored order.
    ///
    /// - Throws: ``GGUFError`` where the type cannot be read yet.
    public func dequantized() throws(GGUFError) -> [Float] {
        guard GGMLType.readable.contains(type) else { throw error(.unsupportedType(tensor: name, type: type)) }
        var failure: GGUFError?
        let values = [Float](unsafeUninitializedCapacity: elementCount) { buffer, initialised in
            do throws(GGUFError) {
                try dequantize(into: UnsafeMutableBufferPointer(rebasing: buffer[..<elementCount]))
                initialised = elementCount
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return values
    }

    private func error(_ reason: GGUFError.Reason) -> GGUFError { GGUFError(path: file.path, reason: reason) }
}
