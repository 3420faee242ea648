// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Inference

@Suite struct PageAllocatorTests {
    /// Many pages follow each other, few fill what others have left, and no slab is used while another that was has room.
    @Test func pagesOfASequenceFollowEachOther() {
        var pages = PageAllocator(pages: 16 * 8)
        func take(_ count: Int) -> [Int32]? { pages.allocate(count)?.map(\.index) }
        #expect(take(40) == Array(0..<40))
        #expect(take(20) == Array(40..<60))
        pages.release((0..<40).map { PageID(index: $0) })
        // Two slabs of the three are free; the few are taken from what is left of the third.
        #expect(take(36) == Array(0..<36))
        #expect(take(6) == Array(36..<40) + [60, 61])
        #expect(pages.backedPages == 64 && pages.freePages == 128 - 62)
    }

    /// Whatever happens, a page has one owner, its holders are counted, and what is free can be had.
    @Test(arguments: [1, 15, 16, 17, 100]) func nothingIsLostOrHandedOutTwice(_ count: Int) {
        var pages = PageAllocator(pages: count), random = SystemRandomNumberGenerator()
        var held: [PageID: Int] = [:]
        for _ in 0..<2_000 {
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1:
                let wanted = Int.random(in: 0...min(count, 40), using: &random)
                let taken = pages.allocate(wanted)
                #expect((taken != nil) == (wanted <= count - held.count) && taken?.count ?? wanted == wanted)
                for page in taken ?? [] {
                    #expect(held.updateValue(1, forKey: page) == nil && Int(page.index) < count)
                }
            case 2:
                guard let page = held.keys.randomElement(using: &random) else { continue }
                pages.retain([page])
                held[page, default: 0] += 1
            default:
                let some = held.keys.shuffled(using: &random).prefix(20)
                pages.release(some)
                for page in some { held[page] = held[page] == 1 ? nil : held[page]! - 1 }
            }
            if Int.random(in: 0..<50, using: &random) == 0 {
                let inUse = Set(held.keys.map(\.slab)), most = Int.random(in: 0...count, using: &random)
                #expect(inUse.isDisjoint(with: pages.discard(downTo: most)))
                #expect(pages.backedPages <= max(most, inUse.count * 16))
            }
            #expect(pages.freePages == count - held.count && pages.backedPages >= held.count)
        }
    }
}
