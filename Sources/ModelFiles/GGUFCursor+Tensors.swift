// SPDX-License-Identifier: Apache-2.0

/// A description as it stands in the file, before its data's place is known.
private struct GGUFTensorInfo {
    var name: String
    var shape: [Int]
    var type: GGMLType
    var elementCount: Int
    var byteCount: Int
    var offset: UInt64
}

extension GGUFCursor {
    /// The most dimensions that GGML knows.
    private static let maximumDimensions = 4

    /// Reads all descriptions; the cursor must stand at the first. `alignment` is in bytes and a power of two.
    mutating func tensors(_ count: Int, alignment: Int) throws(GGUFError) -> [GGUFTensor] {
        var infos: [GGUFTensorInfo] = []
        for index in 0..<count { infos.append(try tensorInfo(index)) }
        let dataStart = (offset + alignment - 1) & ~(alignment - 1)
        var tensors: [GGUFTensor] = []
        for info in infos {
            let range = try dataRange(info, dataStart: dataStart, alignment: alignment)
            tensors.append(
                GGUFTensor(
                    name: info.name, shape: info.shape, type: info.type, elementCount: info.elementCount, file: file,
                    range: range))
        }
        return tensors
    }

    private mutating func tensorInfo(_ index: Int) throws(GGUFError) -> GGUFTensorInfo {
        let name = try string("the name of tensor \(index)")
        let dimensions = try integer(UInt32.self, "the dimensions of tensor “\(name)”")
        guard dimensions <= Self.maximumDimensions else {
            throw malformed("the tensor “\(name)” has \(dimensions) dimensions, more than \(Self.maximumDimensions)")
        }
        var shape: [Int] = []
        for _ in 0..<dimensions {
            let size = try integer(UInt64.self, "the shape of tensor “\(name)”")
            guard size > 0, let length = Int(exactly: size) else {
                throw malformed("the tensor “\(name)” has a dimension of \(size)")
            }
            shape.append(length)
        }
        let rawType = try integer(UInt32.self, "the type of tensor “\(name)”")
        guard let type = GGMLType(rawValue: rawType) else {
            throw malformed("the tensor “\(name)” has the unknown type \(rawType)")
        }
        let (elements, bytes) = try extent(name: name, shape: shape, type: type)
        let offset = try integer(UInt64.self, "the offset of tensor “\(name)”")
        return GGUFTensorInfo(
            name: name, shape: shape, type: type, elementCount: elements, byteCount: bytes, offset: offset)
    }

    /// The number of values and of bytes of a tensor.
    private func extent(name: String, shape: [Int], type: GGMLType) throws(GGUFError) -> (elements: Int, bytes: Int) {
        let row = shape.first ?? 1
        guard row % type.blockLength == 0 else {
            throw malformed(
                "the tensor “\(name)” has rows of \(row) values, not whole blocks of \(type.blockLength) (\(type.name))"
            )
        }
        var elements = 1
        for size in shape {
            let (product, overflow) = elements.multipliedReportingOverflow(by: size)
            guard !overflow else { throw malformed("the shape \(shape) of tensor “\(name)” is too large") }
            elements = product
        }
        let (bytes, overflow) = (elements / type.blockLength).multipliedReportingOverflow(by: type.blockBytes)
        guard !overflow else { throw malformed("the shape \(shape) of tensor “\(name)” is too large") }
        return (elements, bytes)
    }

    /// Where a tensor's data lies in the file.
    private func dataRange(_ info: GGUFTensorInfo, dataStart: Int, alignment: Int) throws(GGUFError) -> Range<Int> {
        guard info.offset % UInt64(alignment) == 0 else {
            throw malformed("the offset \(info.offset) of tensor “\(info.name)” is not a multiple of \(alignment)")
        }
        let room = file.bytes.count - dataStart
        guard info.byteCount <= room, info.offset <= UInt64(room - info.byteCount) else {
            throw GGUFError(
                path: file.path,
                reason: .truncated(
                    "the end of tensor “\(info.name)” (\(info.byteCount) bytes)", offset: file.bytes.count))
        }
        let start = dataStart + Int(info.offset)
        return start..<start + info.byteCount
    }
}
