"""What a UserError says about a case."""

from l2s_auto.core.errors import UserError


def test_an_error_of_a_case_names_it_and_what_was_assumed_of_it():
    error = UserError.single("Too large.", where="voxel edges", found="9 mm", expected="1 mm", mend="Correct it.")
    told = str(error.of_case("scan.nii", ["The unit is the metre."]))
    assert "scan.nii, voxel edges: found 9 mm; expected 1 mm. Correct it. Note: The unit is the metre." in told
    assert str(error.of_case()) == str(error)
