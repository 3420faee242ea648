// SPDX-License-Identifier: Apache-2.0
import CKernels

/// Attention of single query rows over chosen tokens of one KV head, fp32. For comparing ways to choose tokens; jobs run on
/// ``AttentionPlan``.
public struct GatheredAttention: Sendable {
    /// Query heads that share a KV head.
    public let group: Int
    /// Elements of a head, a multiple of 16.
    public let headDimension: Int
    private let instructionSet: InstructionSet

    /// Attention of a shape on an instruction set, which the CPU must support.
    public init(group: Int, headDimension: Int, instructionSet: InstructionSet = .best) {
        precondition(group > 0 && headDimension > 0 && headDimension % 16 == 0, "unsupported shape")
        precondition(instructionSet <= .best, "this CPU does not support \(instructionSet.rawValue)")
        self.group = group
        self.headDimension = headDimension
        self.instructionSet = instructionSet
    }

    /// Softmax attention.
    ///
    /// - Parameters:
    ///   - queries: `[group][head dimension]`, rotated, not scaled.
    ///   - rows: Tokens by their index; keys and values of the head begin in a row at the columns given.
    ///   - tokens: The rows to attend to, at least one.
    ///   - probabilities: `[group][tokens.count]`; written.
    ///   - output: `[group][head dimension]`; written.
    public func attend(
        queries: UnsafePointer<Float>, rows: Matrix, keyColumn: Int, valueColumn: Int,
        tokens: UnsafeBufferPointer<Int32>, probabilities: UnsafeMutablePointer<Float>,
        output: UnsafeMutablePointer<Float>
    ) {
        precondition(!tokens.isEmpty, "no token to attend to")
        precondition(max(keyColumn, valueColumn) + headDimension <= rows.columns, "shapes do not fit")
        precondition(tokens.allSatisfy { $0 >= 0 && Int($0) < rows.rows }, "a token is out of range")
        var gather = dkv_gather(
            group: group, head_dimension: headDimension, queries: queries, keys: rows.base + keyColumn,
            values: rows.base + valueColumn, stride: rows.stride, tokens: tokens.baseAddress, count: tokens.count,
            probabilities: probabilities, output: output)
        dkv_gather_attend(instructionSet.code, &gather)
    }

    /// For each page an upper bound of its keys' scores, the largest over the group.
    ///
    /// - Parameters:
    ///   - queries: `[group][head dimension]`.
    ///   - bounds: `[pages][smallest | largest]` by dimension.
    ///   - scores: As many as there are pages; written.
    public func pageBounds(
        queries: UnsafePointer<Float>, bounds: UnsafeBufferPointer<Float>, scores: UnsafeMutableBufferPointer<Float>
    ) {
        precondition(bounds.count == scores.count * 2 * headDimension, "shapes do not fit")
        guard let from = bounds.baseAddress, let to = scores.baseAddress else { return }
        dkv_page_bounds(instructionSet.code, group, headDimension, queries, from, scores.count, to)
    }
}
