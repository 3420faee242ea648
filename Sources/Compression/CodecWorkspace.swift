// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// Room for coding and decoding, shared by all layers and sequences of one thread of control. One caller at a time.
public final class CodecWorkspace {
    /// Where loops run.
    public let compute: Compute
    /// Rows that are coded at once; longer inputs go in pieces, with the same result.
    let maxRows: Int
    let columns: Int
    let instructions: dkv_codec_isa
    private var lists: ReservedMemory
    private var listedRows: Int
    private var rowMemory: ReservedMemory
    private var scratchMemory: ReservedMemory
    private var layers = 0

    /// Room for rows of `columns` elements.
    ///
    /// - Throws: ``CompressionError/kernel(_:)``.
    public init(columns: Int, compute: Compute, maxRows: Int = 512) throws(CompressionError) {
        precondition(columns > 0 && columns % 32 == 0 && maxRows > 0, "shapes out of range")
        self.columns = columns
        self.compute = compute
        self.maxRows = maxRows
        instructions = compute.instructionSet.codec
        lists = try CompressionError.reserve(8 * maxRows)
        listedRows = maxRows
        rowMemory = try CompressionError.reserve(1)
        scratchMemory = try CompressionError.reserve(1)
    }

    // MARK: Rows

    /// Makes room for a run over more rows than are coded at once; what is listed is lost.
    func reserve(listedRows wanted: Int) throws(CompressionError) {
        guard wanted > listedRows else { return }
        lists = try CompressionError.reserve(8 * wanted)
        listedRows = wanted
    }

    /// [listedRows] rows that a run works on.
    var list: UnsafeMutablePointer<UInt32> { lists.base.assumingMemoryBound(to: UInt32.self) }
    /// [listedRows] positions of these rows.
    var positions: UnsafeMutablePointer<UInt32> { list + listedRows }

    /// Lists some of the rows, and says how many.
    func listRows(_ rows: Range<Int>, where isWanted: (Int) -> Bool) -> Int {
        var count = 0
        for row in rows where isWanted(row) {
            list[count] = UInt32(row)
            count += 1
        }
        return count
    }

    /// Rows of a task such that all threads have as many: the more a task has, the fewer times matrices are read.
    func block(_ count: Int) -> Int {
        func share(_ tasks: Int) -> Int { (count + tasks - 1) / tasks }
        let threads = compute.pool.threads, rounds = (share(threads) + Int(DKV_BLOCK_ROWS) - 1) / Int(DKV_BLOCK_ROWS)
        return max(1, share(threads * max(1, rounds)))
    }

    // MARK: Coded rows

    private var codedBytes: Int { maxRows * dkv_row_limit(columns) }
    private var layerBytes: Int { codedBytes + 2 * maxRows + 2 * maxRows * columns }

    /// Makes room for the coded rows of layers.
    func reserve(layers wanted: Int) throws(CompressionError) {
        guard wanted > layers else { return }
        rowMemory = try CompressionError.reserve(wanted * layerBytes + codedBytes + 3 * maxRows)
        layers = wanted
    }

    /// [maxRows][row limit of the coefficients], coded rows, each at the end of its place.
    func coded(_ layer: Int) -> UnsafeMutablePointer<UInt8> {
        (rowMemory.base + layer * layerBytes).assumingMemoryBound(to: UInt8.self)
    }

    /// [maxRows]
    func lengths(_ layer: Int) -> UnsafeMutablePointer<UInt16> {
        (rowMemory.base + layer * layerBytes + codedBytes).assumingMemoryBound(to: UInt16.self)
    }

    /// [maxRows][columns], the rows among a sequence's first ones in half precision.
    func sinks(_ layer: Int) -> UnsafeMutablePointer<UInt16> { lengths(layer) + maxRows }

    /// [maxRows] coded rows one after another, with lengths before them, and the lengths.
    var gathered: (rows: UnsafeMutablePointer<UInt8>, lengths: UnsafeMutablePointer<UInt8>) {
        let rows = (rowMemory.base + layers * layerBytes).assumingMemoryBound(to: UInt8.self)
        return (rows, rows + codedBytes + 2 * maxRows)
    }

    /// Room for every worker.
    func scratch(perWorker bytes: Int) throws(CompressionError) -> UnsafeMutablePointer<UInt8> {
        let wanted = bytes * compute.pool.threads
        if scratchMemory.count < wanted { scratchMemory = try CompressionError.reserve(2 * wanted) }
        return scratchMemory.base.assumingMemoryBound(to: UInt8.self)
    }
}

extension InstructionSet {
    /// The best kernels of the codec for this set, on a CPU that supports it.
    var codec: dkv_codec_isa {
        switch self {
        case .scalar: dkv_codec_best(0)
        case .avx2: dkv_codec_best(1)
        case .avx512: dkv_codec_best(2)
        case .amx: dkv_codec_best(3)
        }
    }
}
