// SPDX-License-Identifier: Apache-2.0

/// Where the time of steps went, in seconds.
public struct StepTimes: Sendable, Equatable {
    /// Products with weights, norms and activations of all layers.
    public var linear = 0.0
    /// Rotating queries and keys, and writing keys and values to their pages.
    public var store = 0.0
    /// Attention; where it is sparse, with finding the tokens that matter.
    public var attention = 0.0
    /// The logits, with whatever is done with them.
    public var logits = 0.0

    /// Nothing yet.
    public init() {}

    /// Their sum.
    public var sum: Double { linear + store + attention + logits }

    /// What was added since.
    public static func - (now: StepTimes, before: StepTimes) -> StepTimes {
        var times = StepTimes()
        times.linear = now.linear - before.linear
        times.store = now.store - before.store
        times.attention = now.attention - before.attention
        times.logits = now.logits - before.logits
        return times
    }
}

/// A clock that says how long it is since it was last asked.
struct LapClock {
    private var last = ContinuousClock.now

    mutating func lap() -> Double {
        let now = ContinuousClock.now
        defer { last = now }
        return (now - last) / .seconds(1)
    }
}
