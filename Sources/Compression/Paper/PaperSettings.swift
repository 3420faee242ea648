// SPDX-License-Identifier: Apache-2.0

/// What a user of the paper's codec may choose (arXiv 2602.08005, section 4.1 and appendix B).
public struct PaperSettings: Sendable, Equatable {
    /// First rows of a sequence, kept in half precision and references for all others.
    public var sinks: Int
    /// Every so many rows after the sinks one is a reference (absolute positions), kept in half precision too.
    public var stride: Int
    /// References whose mean predicts a row.
    public var neighbours: Int
    /// How latents are kept.
    public var latents: LatentForm

    /// Settings; the defaults are the paper's, with latents in int4.
    public init(sinks: Int = 8, stride: Int = 10, neighbours: Int = 4, latents: LatentForm = .int4(group: nil)) {
        self.sinks = sinks
        self.stride = stride
        self.neighbours = neighbours
        self.latents = latents
    }

    /// Whether every value is within the codec's bounds.
    public var isValid: Bool {
        guard (0...1024).contains(sinks), (1...65536).contains(stride), (1...64).contains(neighbours) else {
            return false
        }
        if case .int4(let group?) = latents { return group > 0 && group % 2 == 0 }
        return true
    }

    /// Whether the row at a position is a reference.
    public func isReference(_ position: Int) -> Bool { position < sinks || (position - sinks) % stride == 0 }

    /// References among the rows before a position.
    public func references(before position: Int) -> Int {
        min(position, sinks) + (max(0, position - sinks) + stride - 1) / stride
    }
}

/// How the elements of a latent are kept.
public enum LatentForm: Sendable, Equatable {
    /// In half precision.
    case half
    /// In 4 bits, with a step and a minimum in half precision for each `group` elements, or for the whole latent if nil.
    case int4(group: Int?)

    /// Bytes of a latent of `count` elements.
    public func bytes(_ count: Int) -> Int {
        switch self {
        case .half: 2 * count
        case .int4(let group): (count + 1) / 2 + 4 * (group.map { (count + $0 - 1) / $0 } ?? 1)
        }
    }
}
