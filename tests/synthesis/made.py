"""Settings that the tests share: ranges with every step off."""

from l2s_auto.synthesis.deform import DeformationRanges
from l2s_auto.synthesis.generator import Ranges
from l2s_auto.synthesis.resolution import ResolutionRanges
from l2s_auto.synthesis.texture import TextureRanges
from l2s_auto.synthesis.view import ViewRanges

STILL = DeformationRanges(rotation=0, scale=0, shear=0, translation=0, elastic=0, flip=0)
OFF_BUT_TEXTURE = {
    "resolution": ResolutionRanges(partial=0, blur=0, thick=0),
    "view": ViewRanges(cropped=0, black=0, flat=0, stripped=0),
    "gamma": 0.0,
}
OFF = Ranges(deformation=STILL, texture=TextureRanges(correlated=0), **OFF_BUT_TEXTURE)
