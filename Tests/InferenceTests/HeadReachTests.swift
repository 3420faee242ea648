// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import Testing

@testable import Inference

@Suite struct HeadReachTests {
    /// Of the default model: some heads cost next to nothing, some very much, and it is no matter of threads.
    @Test func headsDiffer() throws {
        let model = try DefaultModel.get(), c = model.configuration
        let tokens = ids(HeadReach.leastTokens, below: c.vocabulary)
        let reach = try HeadReach(of: model, on: tokens, threads: try ThreadPool(threads: 2))
        #expect(reach.costs.count == c.layers && reach.costs.allSatisfy { $0.count == c.kvHeads })
        let all = reach.costs.joined().sorted()
        #expect(all.allSatisfy { $0.isFinite && $0 >= 0 })
        #expect(all[0] < HeadReach.limit / 10 && all[all.count - 1] > HeadReach.limit * 100)
        let local = reach.local().joined().filter { $0 }.count
        #expect((5...60).contains(local), "\(local) of \(all.count)")
        // The same every time.
        #expect(try HeadReach(of: model, on: tokens, threads: try ThreadPool(threads: 1)) == reach)
    }

    @Test func localHeadsAreThoseBelowTheLimit() {
        let reach = HeadReach(costs: [[0, 0.5], [0.1, 0.09]])
        #expect(reach.local(below: 0.1) == [[true, false], [false, true]])
    }
}
