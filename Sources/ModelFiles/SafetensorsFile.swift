// SPDX-License-Identifier: Apache-2.0

/// A file of tensors in the safetensors format (github.com/huggingface/safetensors): the length of a JSON header, the header,
/// the data. It is untrusted; opening it checks that every tensor lies inside and that the data has no gaps or overlaps.
struct SafetensorsFile {
    let file: MappedFile
    let tensors: [GGUFTensor]

    /// The format's limit for the header.
    private static let maximumHeader: UInt64 = 100_000_000
    private static let maximumDimensions = 8

    /// - Throws: ``GGUFError`` where the file cannot be read or contradicts itself.
    init(path: String) throws(GGUFError) {
        file = try MappedFile(path: path)
        var cursor = GGUFCursor(file: file)
        let length = try cursor.integer(UInt64.self, "the length of the header")
        guard length <= Self.maximumHeader else {
            throw cursor.malformed("the header is said to have \(length) bytes, more than \(Self.maximumHeader)")
        }
        let start = cursor.offset
        try cursor.skip(Int(length), "the end of the header")
        let header = try file.json(start..<cursor.offset)
        guard let members = header.members else { throw cursor.malformed("the header is not an object") }
        var found: [(tensor: GGUFTensor, range: Range<Int>)] = []
        for member in members where member.key != "__metadata__" {
            found.append(try Self.tensor(member, file: file, dataStart: cursor.offset))
        }
        try Self.checkCover(found.map(\.range), from: cursor.offset, file: file)
        tensors = found.map(\.tensor)
    }

    private static func tensor(_ member: JSONValue.Member, file: MappedFile, dataStart: Int)
        throws(GGUFError) -> (GGUFTensor, Range<Int>)
    {
        func malformed(_ what: String) -> GGUFError {
            GGUFError(path: file.path, reason: .malformed("the tensor “\(member.key)” has \(what)"))
        }
        guard let typeName = member.value["dtype"]?.text else { throw malformed("no dtype") }
        guard let type = types[typeName] else {
            throw GGUFError(
                path: file.path, reason: .unsupported("the tensor “\(member.key)” is stored as \(typeName)"))
        }
        guard let sizes = member.value["shape"]?.elements, sizes.count <= maximumDimensions else {
            throw malformed("no shape, or one of more than \(maximumDimensions) dimensions")
        }
        var elements = 1
        var shape: [Int] = []
        for size in sizes.reversed() {
            guard let size = size.int, size > 0 else { throw malformed("a dimension that is not a positive integer") }
            let (product, overflow) = elements.multipliedReportingOverflow(by: size)
            // Not more elements than bytes in the file: what follows cannot overflow.
            guard !overflow, product <= file.bytes.count else {
                throw malformed("more elements than the file has bytes")
            }
            elements = product
            shape.append(size)
        }
        let room = file.bytes.count - dataStart
        guard let ends = member.value["data_offsets"]?.elements, ends.count == 2, let first = ends[0].int,
            let last = ends[1].int, first >= 0, first <= last, last <= room
        else { throw malformed("data offsets outside the file") }
        guard last - first == elements * type.blockBytes else {
            throw malformed("\(last - first) bytes, not \(elements) values of \(type.name)")
        }
        let range = dataStart + first..<dataStart + last
        let tensor = GGUFTensor(
            name: member.key, shape: shape, type: type, elementCount: elements, file: file, range: range)
        return (tensor, range)
    }

    private static func checkCover(_ ranges: [Range<Int>], from start: Int, file: MappedFile) throws(GGUFError) {
        var end = start
        var whole = true
        for range in ranges.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }) {
            whole = whole && range.lowerBound == end
            end = range.upperBound
        }
        guard whole, end == file.bytes.count else {
            throw GGUFError(path: file.path, reason: .malformed("the tensors do not cover the data from end to end"))
        }
    }

    private static let types: [String: GGMLType] = [
        "F32": .f32, "F16": .f16, "BF16": .bf16, "F64": .f64, "I8": .i8, "I16": .i16, "I32": .i32, "I64": .i64,
    ]
}

extension MappedFile {
    /// The JSON value in a range that was checked to lie in the file.
    func json(_ range: Range<Int>) throws(GGUFError) -> JSONValue {
        do throws(JSONError) {
            return try JSONReader.read(UnsafeRawBufferPointer(rebasing: bytes[range]))
        } catch {
            throw GGUFError(
                path: path,
                reason: .malformed(
                    "the JSON text is wrong at byte \(range.lowerBound + error.offset): \(error.sentence)"))
        }
    }
}
